#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build.sh DIRECTORY SUITE SOURCE PUBLIC_KEY: makes DIRECTORY/{root.raw,vmlinuz,initrd.img}. SOURCE is
# a line as in sources.list. As root; two minutes.
set -euo pipefail
readonly directory=$1 suite=$2 source=$3 public_key=$4
here=$(dirname "$(readlink -f "$0")")

packages=$(sed -E 's/[[:space:]]*#.*//; /^$/d' "$here/packages.txt" | paste -sd,)
root=$directory/root
rm -rf "$root"
mkdir -p "$directory"
mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$packages" \
  --aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User "root"' \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook="mkdir \"\$1/conode-image\" && cp $(printf %q "$here")/files/* \"\$1/conode-image\"" \
  --customize-hook="cp $(printf %q "$public_key") \"\$1/conode-image/id.pub\"" \
  --customize-hook="chroot \"\$1\" bash -s < $(printf %q "$here/customize.sh")" \
  "$suite" "$root" "$source"

"$here/initial_ram_disk.sh" "$root" "$directory/initrd.img"
cp "$root"/boot/vmlinuz-* "$directory/vmlinuz"
rm -f "$directory/root.raw"
mke2fs -q -F -t ext4 -E lazy_itable_init=1,lazy_journal_init=1,discard -L root -d "$root" \
  "$directory/root.raw" 8G
rm -rf "$root"
