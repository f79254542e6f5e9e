#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# inventory.sh INSTANCE...: Ansible's inventory of these running Lima instances, on standard output. The first
# is the controller; all are compute nodes.
set -euo pipefail
if [ $# = 0 ]; then
  echo "usage: $0 INSTANCE... > inventory.yml" >&2
  exit 2
fi

hosts() {
  local instance
  for instance in "$@"; do
    echo "    lima-$instance:"
    echo "      ansible_host: lima-$instance" # as the instance's ssh configuration calls it
    echo "      ansible_ssh_common_args: -F $(limactl list --format '{{.SSHConfigFile}}' "$instance")"
    echo "      slurm_node_address: lima-$instance.internal"
  done
}

echo 'controller:'
echo '  hosts:'
hosts "$1"
echo 'compute:'
echo '  hosts:'
hosts "$@"
echo 'all:'
echo '  vars:'
echo "    subordinate_ids_users: [$(id -un)]"
echo '    conode_hooks_vxlan: true'
echo '    slurm_prolog: /etc/slurm/prolog.d/*'
echo '    slurm_epilog: /etc/slurm/epilog.d/*'
