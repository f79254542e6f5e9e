#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make_builder.sh DIRECTORY SUITE SOURCE PACKAGES: a tree of SUITE with what conode is built from. PACKAGES
# is tests/support/packages.txt, of which the sections "Build" and "Libraries of conode" count; SOURCE a
# line as in sources.list. As root; a minute.
set -euo pipefail
readonly directory=$1 suite=$2 source=$3 list=$4

# Names with a version of Debian 12 in them, and what they are called in SUITE.
declare -A renamed=([libboost1.81-dev]=libboost1.83-dev
  [libboost-filesystem1.81-dev]=libboost-filesystem1.83-dev)

packages=dpkg-dev,file,libslurm-dev # the latter for the SPANK plugin
while read -r name; do
  packages+=,${renamed[$name]:-$name}
done < <(awk '/^# / {wanted = $2 == "Build" || $2 == "Libraries"} !/^#/ && NF && wanted {print $1}' "$list")

mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$packages" \
  --aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User "root"' \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$directory" "$source"
mkdir -p "$directory"/{src,build,ccache,containerd_api}
