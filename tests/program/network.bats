#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Networks that somebody has to ask for: the uplink `fallback`, and pods on a bridge.

bats_require_minimum_version 1.5.0

setup() {
  load common
  own_state
}

teardown() {
  load common
  own_state
  "$CONODE" down > /dev/null 2>&1 || "$CONODE" sweep > /dev/null 2>&1 || true
}

# up OPTION...: two nodes, a web server on each
up() {
  "$CONODE" up --k8s-cores 1 --nodes 2 --image "$(busybox_archive)" "$@" 2>&1 || return
  web_on_every_node 2
}

assert_services_reach_both_nodes() {
  run "$CONODE" kubectl exec "$(pod_of "$1")" -- sh -c \
    'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do wget -q -O - http://everywhere/; done | sort -u | tr "\n" " "'
  assert_output 'n0 n1 '
}

@test "fallback: a VXLAN through pasta joins the nodes; pasta killed, it does again" {
  up --uplink fallback --egress pasta
  run "$CONODE" status
  assert_line --regexp 'uplink +fallback over pasta, not authenticated, to 1 of 1 nodes'
  assert_transfer n1 n0 16
  assert_services_reach_both_nodes n1
  kill -9 "$(egress_pid)"
  reached() { "$CONODE" kubectl exec "$(pod_of n0)" -- timeout 2 wget -q -O - "http://$(address_of n1)/"; }
  eventually reached
  assert_transfer n1 n0 16
  run "$CONODE" down
  assert_success
  assert_output --partial 'nothing is left'
}

@test "fallback: slirp4netns does the same" {
  up --uplink fallback --egress slirp4netns
  run "$CONODE" status
  assert_line --regexp 'uplink +fallback over slirp4netns, not authenticated, to 1 of 1 nodes'
  assert_transfer n1 n0 16
  assert_services_reach_both_nodes n1
}

@test "fallback: without a program that carries it, it is refused" {
  run "$CONODE" up --nodes 2 --uplink fallback --egress none
  assert_failure
  assert_output --partial "use the uplink 'fallback'"
  assert_output --partial 'install pasta (package passt) or slirp4netns'
  assert [ ! -e "$CONODE_STATE_DIR/local" ]
}

@test "pods on a bridge: neighbours by Ethernet, other nodes and Services by routes" {
  up --pod-link bridge
  run "$CONODE" kubectl exec "$(pod_of n1)" -- busybox ip route
  assert_output --partial '10.244.1.0/24 dev eth0'
  assert_transfer n1 n0 16
  assert_services_reach_both_nodes n0
  # A Service whose only server is on the same bridge: its answer has to come back through netfilter.
  web_server web 10.96.0.80
  node=$("$CONODE" kubectl get pods -l app=web -o 'jsonpath={.items[0].spec.nodeName}')
  run "$CONODE" kubectl exec "$(pod_of "$node")" -- wget -q -O - http://10.96.0.80/
  assert_output --partial '404 Not Found'
}
