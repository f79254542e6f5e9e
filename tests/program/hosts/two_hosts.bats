#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Two hosts with a real ssh server and a VXLAN that root has made for the job `hosts`
# (tests/support/dev/hosts.sh); this is the first one.

bats_require_minimum_version 1.5.0

setup() {
  load ../common
  own_state
  export CONODE_SSH_CONFIG=$CONODE_TEST_HOSTS/ssh_config
}

teardown() {
  "$CONODE" down --job hosts > /dev/null 2>&1 || "$CONODE" sweep > /dev/null 2>&1 || true
}

# Of the job that root knows.
up() {
  "$CONODE" up --job hosts --host second.host --k8s-cores 1 --image "$(busybox_archive)" 2>&1 ||
    return
  export CONODE_JOB=hosts
  web_on_every_node 2
}

uplink() { "$CONODE" status --json | jq -r .uplink; }

# Both ways.
reach_each_other() {
  "$CONODE" kubectl exec "$(pod_of n0)" -- timeout 2 wget -q -O - "http://$(address_of n1)/" &&
    "$CONODE" kubectl exec "$(pod_of n1)" -- timeout 2 wget -q -O - "http://$(address_of n0)/"
}

@test "a host by a real ssh server: its commands, images, ranks and end" {
  # shellcheck disable=SC2016 # the inner shell expands it
  run "$CONODE" exec --job remote --k8s-cores 1 --host second.host --image "$(busybox_archive)" -- \
    sh -c '"$0" kubectl get nodes -o name; "$0" run --node n1 -- sh -c "exit 7"; echo "code $?"
      "$0" run --node n1 -- "$0" image list; "$0" run -- mpirun hostname | wc -l' "$CONODE"
  assert_success
  assert_line node/n1
  assert_line 'code 7'
  assert_line 2 # ranks: one core of each
  assert_line --regexp '^docker.io/library/busybox:.* sha256:'
  refute_output --partial 'left behind'
  assert_nothing_left remote
}

@test "a host whose ssh refuses is named, with ssh's own words" {
  sed 's/Port 2222/Port 2223/' "$CONODE_TEST_HOSTS/ssh_config" > "$BATS_TEST_TMPDIR/config"
  run "$CONODE" exec --job remote --k8s-cores 1 --ssh-config "$BATS_TEST_TMPDIR/config" --host second.host -- true
  assert_failure 125
  assert_output --partial 'node n1 (second.host) is missing'
  assert_output --partial 'Connection refused'
  assert_nothing_left remote
}

@test "a job that root knows takes its VXLAN; another one the relay" {
  up
  assert_equal "$(uplink)" 'vxlan to 1 of 1 nodes'
  assert_transfer n1 n0 64
  run "$CONODE" down
  assert_output --partial 'nothing is left'
  unset CONODE_JOB
  run "$CONODE" up --job other --host second.host --k8s-cores 1
  assert_success
  run "$CONODE" status --job other --json
  assert_equal "$(jq -r .uplink <<< "$output")" 'relay over TCP, 1 of 1 nodes reached'
  run "$CONODE" down --job other
  assert_success
}

@test "a VXLAN that goes on one host: the other one is told, the relay has the traffic" {
  up
  assert_equal "$(uplink)" 'vxlan to 1 of 1 nodes'
  reach_each_other
  echo down > "$CONODE_TEST_HOSTS/down"
  on_the_relay() { uplink | grep -q 'vxlan to 0 of 1 nodes; relay over TCP, 1 of 1 nodes reached'; }
  eventually on_the_relay
  eventually reach_each_other
  assert_transfer n1 n0 64
  run "$CONODE" run --node n1 -- "$CONODE" logs agent
  assert_output --partial "the job's VXLAN is gone from this host; the relay has its traffic"
}
