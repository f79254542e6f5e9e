# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev cluster`: three virtual machines of Debian 13 with cgroup v2 and Slurm, set up by our Ansible
# roles; tests/cluster runs on them. Parts: cluster_image.sh (what they are made of), cluster_machines.sh
# (the machines and their network).

# shellcheck source=tests/support/dev/cluster_image.sh
source "$support/dev/cluster_image.sh"
# shellcheck source=tests/support/dev/cluster_machines.sh
source "$support/dev/cluster_machines.sh"

cluster_usage() {
  cat << END
usage: ./dev cluster up           make what is missing, boot, and converge with Ansible
       ./dev cluster test [FILE...]  up, then tests/cluster (or these files of it)
       ./dev cluster ssh [USER@]NAME [COMMAND...]   on ${machine_names[*]}; users: root, alice, bob
       ./dev cluster down         end the machines and remove their disks; what is cached stays
END
}

# The inventory of our machines: hosts from here, all else from tests/cluster/group_vars.
write_inventory() {
  local name
  mkdir -p "$machines/inventory"
  ln -sfn "$cluster_recipe/group_vars" "$machines/inventory/group_vars"
  {
    echo 'controller: {hosts: {n1: }}'
    echo 'compute:'
    echo '  hosts:'
    for name in "${machine_names[@]}"; do echo "    $name: {ansible_host: $(machine_address "$name")}"; done
    echo 'all:'
    echo '  vars:'
    echo "    ansible_ssh_common_args: $(ssh_options | paste -sd' ')"
    echo "    munge_key_file: $machines/munge.key"
    echo "    conode_package: '$package'"
  } > "$machines/inventory/hosts.yml"
  if [ ! -e "$machines/munge.key" ]; then
    (umask 077 && head -c 128 /dev/urandom > "$machines/munge.key")
  fi
}

# Prints Ansible's report; fails where it does.
converge() {
  (cd "$top/ansible" && on_network env LC_ALL=C.UTF-8 ANSIBLE_CONFIG="$top/ansible/ansible.cfg" \
    "$ansible/ansible-playbook" -i "$machines/inventory/hosts.yml" site.yml "$@")
}

cluster_requires_root() {
  is_root || fail "a network namespace, an image and KVM need root" "sudo ./dev cluster ..."
}

cluster_setup() {
  local missing
  verb_setup
  mapfile -t missing < <(missing_packages "$cluster_recipe/packages.txt")
  install_packages "${missing[@]}"
  mkdir -p "$cluster_cache"
  make_key
  make_ansible || fail "there is no Ansible" "see pip's message above"
  make_image
  make_package
  if [ ! -x "$build/dev/bin/conode" ]; then build_preset dev; fi
  make_bundle_disk
}

cluster_up() {
  local started
  cluster_requires_root
  cluster_setup
  started=$SECONDS
  start_machines
  wait_for_machines
  say "booted in $((SECONDS - started)) s"
  started=$SECONDS
  write_inventory
  converge > "$machines/converge.log" 2>&1 || {
    tail -n 40 "$machines/converge.log" >&2
    fail "Ansible could not set the machines up" "see $machines/converge.log"
  }
  say "converged in $((SECONDS - started)) s; ./dev cluster ssh n1"
}

cluster_test() {
  local files=("$@") code=0
  if [ $# = 0 ]; then files=("$cluster_recipe"/*.bats); fi
  cluster_up
  say "testing"
  export stage cluster_cache BATS_LIB_PATH=/usr/lib/bats BATS_TEST_TIMEOUT=1800
  export CONODE_CLUSTER_TOP=$top
  bats --timing --print-output-on-failure "${files[@]}" || code=$?
  return $code
}

cluster_ssh() {
  cluster_requires_root
  [ $# != 0 ] || fail "no machine is named" "./dev cluster ssh ${machine_names[0]}"
  on_machine "$@"
}

cluster_down() {
  cluster_requires_root
  stop_machines
  remove_network
  rm -rf "$machines"
}

verb_cluster() {
  local action=${1:-help}
  case $action in
    up | test | ssh | down) ;;
    help | -h | --help) cluster_usage && return ;;
    *)
      cluster_usage >&2
      fail "cluster: unknown action '$action'" "one of those above"
      ;;
  esac
  shift
  "cluster_$action" "$@"
}
