#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the Ansible roles have made, and that they make it once.

bats_require_minimum_version 1.5.0

setup() { load common; }

@test "a second converge changes nothing" {
  run converge
  assert_success
  for name in n1 n2 n3; do
    assert_line --regexp "^$name +: ok=[0-9]+ +changed=0 +unreachable=0 +failed=0 "
  done
}

@test "three nodes are idle, with their cores and memory" {
  await nodes_are_idle
  run on_machine n1 sinfo --noheader --Node '--format=%N_%c'
  assert_output "$(printf '%s_2\n' n1 n2 n3)"
}

@test "a step runs on all nodes" {
  run on_machine alice@n1 srun --nodes=3 --ntasks-per-node=1 hostname
  assert_success
  assert_equal "$(sort <<< "$output")" "$(printf '%s\n' n1 n2 n3)"
}

@test "modules, subordinate ids, the bundle and conode are on every node" {
  for name in n1 n2 n3; do
    run as "alice@$name" 'lsmod | grep -oE "^(br_netfilter|vxlan|tun)\b" | sort | paste -sd,' \
      'grep -c "^alice:524288:65536$" /etc/subuid /etc/subgid' \
      'test -x /opt/conode/bundle/kubelet && echo bundle' 'conode version'
    assert_success
    assert_line br_netfilter,tun,vxlan
    assert_line /etc/subuid:1
    assert_line /etc/subgid:1
    assert_line bundle
    assert_line --regexp '^conode '
  done
}

@test "what is not given is refused before anything is changed" {
  run converge -e munge_key_file= --tags munge --limit n3
  assert_failure
  assert_output --partial 'munge_key_file is not set'
}
