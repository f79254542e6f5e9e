# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of the virtual cluster share. ./dev cluster test has brought it up, and exports
# $CONODE_CLUSTER_TOP, $stage, $cluster_cache.

bats_load_library bats-support
bats_load_library bats-assert

# shellcheck source=tests/support/dev/cluster_machines.sh
source "$CONODE_CLUSTER_TOP/tests/support/dev/cluster_machines.sh"

# await COMMAND...: until it succeeds. Polls: nothing tells us what happens in a machine. The limit is far
# above what emulated machines need.
await() {
  local limit=$((SECONDS + 600))
  until "$@"; do
    if [ $SECONDS -gt $limit ]; then
      echo "not within the limit: $*" >&2
      return 1
    fi
    read -rt 1 <> <(:) || true
  done
}

# converge OPTION...: Ansible, as ./dev cluster up runs it
converge() {
  cd "$CONODE_CLUSTER_TOP/ansible" || return
  on_network env LC_ALL=C.UTF-8 "${cluster_cache:?}/ansible/bin/ansible-playbook" \
    -i "$machines/inventory/hosts.yml" "$@" site.yml
}

as() { # USER@NAME SCRIPT...: lines of bash, in the user's home
  local target=$1
  shift
  printf '%s\n' "$@" | on_machine "$target" bash -leu
}

# submit USER OPTION... -- LINE...: prints the job's id; its output goes to job-ID.txt in the home of n1
submit() {
  local user=$1 options=()
  shift
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  { echo '#!/bin/bash' && printf '%s\n' "$@"; } |
    on_machine "$user@n1" sbatch --parsable --output=job-%j.txt "${options[@]}"
}

job_state() { # ID
  on_machine n1 scontrol --oneliner show job "$1" | grep -oE 'JobState=[A-Z_]+' | cut -d= -f2
}

job_has_ended() { ! [[ $(job_state "$1") =~ ^(PENDING|CONFIGURING|RUNNING|COMPLETING|SUSPENDED|)$ ]]; }
job_runs() { [ "$(job_state "$1")" = RUNNING ]; }

# The output of job ID of USER; Slurm writes it on the first node.
output_of() { # USER NODE ID
  on_machine "$1@$2" cat "job-$3.txt"
}

nodes_are_idle() {
  [ "$(on_machine n1 sinfo --noheader --states=idle --format=%D)" = ${#machine_names[@]} ]
}

# What job ID left on a node: cgroups, conode's records and state, processes of its user.
leftovers_of() { # ID USER
  local name
  for name in "${machine_names[@]}"; do
    as "$name" "find /sys/fs/cgroup/system.slice -type d -name 'job_$1' -printf '$name: cgroup %p\n'
      find /run/conode -mindepth 1 -maxdepth 1 -name '$1' -printf '$name: record %p\n' 2> /dev/null || true
      find /tmp -mindepth 2 -maxdepth 2 -path '/tmp/conode-*/$1*' -printf '$name: state %p\n'
      ip -o link show type vxlan | sed 's/^/$name: link /'
      pgrep -u '$2' -fl 'conode|sleep' | sed 's/^/$name: process /' || true"
  done
}

assert_nothing_left_of() { # ID USER
  await nodes_are_idle
  run leftovers_of "$1" "$2"
  assert_success
  assert_output ''
}
