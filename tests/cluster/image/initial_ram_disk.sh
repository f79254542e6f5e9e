#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# initial_ram_disk.sh ROOT OUTPUT: busybox, ./files/init and the drivers that come before the root file
# system of ROOT. The network's driver is among them: udev would load it after node_identity has run.
set -euo pipefail
readonly root=$1 output=$2
here=$(dirname "$(readlink -f "$0")")
kernel=$(basename "$root"/lib/modules/*)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

mkdir -p "$tree"/{bin,dev,modules,proc,root,sys}
cp "$root/bin/busybox" "$tree/bin/"
install -m 755 "$here/files/init" "$tree/init"
: > "$tree/modules/order"
for driver in virtio_pci virtio_blk virtio_net virtio_rng ext4; do
  # Nothing is printed for what is built into the kernel.
  chroot "$root" /sbin/modprobe --set-version "$kernel" --show-depends "$driver" 2> /dev/null |
    awk '$1 == "insmod" {print $2}' | while read -r file; do
    name=$(basename "$file" .xz)
    if grep -qx "$name" "$tree/modules/order"; then continue; fi
    echo "$name" >> "$tree/modules/order"
    case $file in
      *.xz) xz -dc "$root$file" > "$tree/modules/$name" ;;
      *) cp "$root$file" "$tree/modules/$name" ;;
    esac
  done
done
(cd "$tree" && find . | cpio --quiet --create --format=newc) | gzip -1 > "$output"
