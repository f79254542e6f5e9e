#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# customize.sh: inside of the new image's root, once. ./files and the public key are in /conode-image.
set -euo pipefail
readonly from=/conode-image

# Users: root for Ansible, two others for jobs. All by the cluster's own key.
for user in alice bob; do useradd --create-home --shell /bin/bash "$user"; done
# Their subordinate ids are the role's matter.
: > /etc/subuid
: > /etc/subgid
for home in /root /home/alice /home/bob; do
  install -d -m 700 "$home/.ssh"
  install -m 600 "$from/id.pub" "$home/.ssh/authorized_keys"
  chown -R --reference="$home" "$home/.ssh"
done

# Host keys are made once, for all machines, since emulated ones take long for it.
ssh-keygen -A
install -D -m 644 "$from/sshd.conf" /etc/ssh/sshd_config.d/test_cluster.conf

echo 'LABEL=root / ext4 noatime 0 1' > /etc/fstab
install -D -m 755 "$from/node_identity" /usr/local/sbin/node_identity
install -D -m 644 "$from/node_identity.service" /etc/systemd/system/node_identity.service
install -D -m 644 "$from/journald.conf" /etc/systemd/journald.conf.d/test_cluster.conf
systemctl enable ssh node_identity

# What costs a slow machine time at every boot and is of no use here.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
  e2scrub_all.timer e2scrub_reap.service man-db.timer systemd-timesyncd.service systemd-networkd.service; do
  systemctl disable "$unit" 2> /dev/null || true # not every suite has each
done
for unit in systemd-networkd-wait-online.service systemd-firstboot.service getty@tty1.service \
  systemd-hwdb-update.service ldconfig.service systemd-journal-catalog-update.service; do
  systemctl mask "$unit"
done
# The roles decide when these start.
systemctl disable slurmd slurmctld munge
rm -f /etc/munge/munge.key
systemctl set-default multi-user.target

: > /etc/machine-id
rm -rf /var/lib/dbus/machine-id /var/cache/apt/archives /var/lib/apt/lists "$from"
