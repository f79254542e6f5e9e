#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# compile.sh BUILDER CHECKOUT CCACHE PACKAGE: conode's .deb from CHECKOUT, in the tree BUILDER. As root, in a
# mount namespace of its own (unshare --mount --propagation private), which takes the mounts with it. Paths
# in the tree are always the same, so that ccache knows them again.
set -euo pipefail
readonly builder=$1 checkout=$2 ccache=$3 package=$4

# In memory: each compile starts from nothing but ccache's.
mount -t tmpfs tmpfs "$builder/build"
mount --bind "$checkout" "$builder/src"
mount -o remount,bind,ro "$builder/src"
mount --bind "$ccache" "$builder/ccache"
mount -t proc proc "$builder/proc"
mount --bind /dev "$builder/dev"

# No link-time optimization: it would cost minutes that ccache cannot save.
chroot "$builder" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CCACHE_DIR=/ccache \
  JOBS="${CONODE_CLUSTER_JOBS:-$(nproc)}" sh -euc '
    cmake -G Ninja -S /src -B /build -DCMAKE_BUILD_TYPE=Release -DCONODE_TESTS=OFF \
      -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_CXX_COMPILER_LAUNCHER=ccache
    ninja -C /build -j "$JOBS"
    cd /build && cpack'
cp "$builder"/build/*.deb "$package.partial"
mv "$package.partial" "$package"
