#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# compile.sh BUILDER CHECKOUT CONTAINERD_API CCACHE PACKAGE: conode's .deb from CHECKOUT, in the tree BUILDER,
# whose objects stay there for the next time. As root, in a mount namespace of its own (unshare --mount
# --propagation private), which takes the mounts with it. CONTAINERD_API: as CONODE_CONTAINERD_API_DIR.
set -euo pipefail
readonly builder=$1 checkout=$2 containerd_api=$3 ccache=$4 package=$5

mount --bind "$checkout" "$builder/src"
mount -o remount,bind,ro "$builder/src"
mount --bind "$containerd_api" "$builder/containerd_api"
mount --bind "$ccache" "$builder/ccache"
mount -t proc proc "$builder/proc"
mount --bind /dev "$builder/dev"

# shellcheck disable=SC2016 # expanded inside
# No link-time optimization: it would cost minutes that ccache cannot save.
chroot "$builder" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CCACHE_DIR=/ccache \
  JOBS="${CONODE_CLUSTER_JOBS:-$(nproc)}" sh -euc '
    if [ ! -e /build/build.ninja ]; then
      cmake -G Ninja -S /src -B /build -DCMAKE_BUILD_TYPE=Release -DCONODE_TESTS=OFF \
        -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
        -DCONODE_CONTAINERD_API_DIR=/containerd_api
    fi
    rm -f /build/*.deb
    ninja -C /build -j "$JOBS"
    # A number that grows: apt installs nothing over the same version.
    cd /build && cpack -D CPACK_DEBIAN_PACKAGE_RELEASE="$(date +%s)"'
cp "$builder"/build/*.deb "$package.partial"
mv "$package.partial" "$package"
