#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The state directory's file system is full. Needs one of 300 MiB at $TMPDIR/small, which only root
# can mount: ./dev does where it is root.

bats_require_minimum_version 1.5.0

setup() {
  load common
  mountpoint -q "$TMPDIR/small" || skip "no small file system: ./dev is not root"
  unset CONODE_JOB KUBECONFIG
  export CONODE_STATE_DIR=$TMPDIR/small/state
}

teardown() {
  rm -f "$TMPDIR/small/fill"
  "$CONODE" down --job local > /dev/null 2>&1 || "$CONODE" sweep > /dev/null 2>&1 || true
}

# fill MIB_LEFT: takes what there is, and gives back that much.
fill() {
  dd if=/dev/zero of="$TMPDIR/small/fill" bs=64K 2> /dev/null || true
  truncate -s "-$1M" "$TMPDIR/small/fill"
}

@test "too little space for a cluster: up names the cause and the remedy" {
  fill 16
  run "$CONODE" up --k8s-cores 1
  assert_failure
  assert_output --partial 'failed to create WAL'
  assert_output --partial 'free space, or set --state-dir'
  assert_nothing_left
}

@test "a disk that is full for a while: the cluster comes back, and nothing is lost" {
  "$CONODE" up --k8s-cores 1 > /dev/null 2>&1
  "$CONODE" kubectl create configmap before --from-literal=a=b
  fill 0
  # etcd has some space in reserve.
  head -c 700K /dev/urandom | base64 -w 0 > "$BATS_TEST_TMPDIR/blob"
  local refused=no
  for ((i = 0; i < 200; i++)); do
    "$CONODE" kubectl create configmap "big$i" --from-file="$BATS_TEST_TMPDIR/blob" \
      --request-timeout=20s > /dev/null 2>&1 || { refused=yes && break; }
  done
  [ $refused = yes ]
  run "$CONODE" run -- echo computing
  assert_success
  assert_output computing
  rm "$TMPDIR/small/fill"
  # Back-off is 10 s at most.
  timeout 60 "$CONODE" kubectl get configmap before --request-timeout=60s
  # shellcheck disable=SC2016 # the inner shell expands it
  run timeout 60 sh -c 'until "$0" kubectl create configmap after --from-literal=a=b; do sleep 0.2; done' "$CONODE"
  assert_success
  run "$CONODE" down
  assert_success
  assert_nothing_left
}

@test "down works while the disk is full" {
  "$CONODE" up --k8s-cores 1 > /dev/null 2>&1
  fill 0
  run "$CONODE" down
  assert_success
  assert_output --partial 'nothing is left'
  assert_nothing_left
}
