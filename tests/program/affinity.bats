#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Level affinity: a site that delegates no cgroup. The partition holds, and nothing is left.

bats_require_minimum_version 1.5.0

setup() {
  load common
  own_state
  export CONODE_ENFORCEMENT=affinity
}

teardown() {
  "$CONODE" down --job local > /dev/null 2>&1 || "$CONODE" sweep > /dev/null 2>&1 || true
}

@test "without cgroups the partition holds in both directions" {
  run "$CONODE" up --k8s-cores 1 --image "$(busybox_archive)"
  assert_success
  web_server web 10.96.0.80
  [ "$("$CONODE" status --json | jq -r .enforcement)" = affinity ]
  run find "$(cgroup_directory)" -mindepth 1 -maxdepth 2 -type d -name 'conode.*'
  assert_output ''
  assert_threads_stay_on_k8s_cpus
  assert_pod_stays_on_k8s_cpus
  assert_command_has_hpc_cpus
  run "$CONODE" down
  assert_success
  assert_output --partial 'nothing is left'
  assert_nothing_left
}

@test "what the command leaves behind and has ended is no zombie of the agent's" {
  # shellcheck disable=SC2016 # the inner shell expands it
  run timeout 60 "$CONODE" exec --k8s-cores 1 -- sh -c '
    for i in 1 2 3; do (sleep 0.2 &); done
    until [ "$(ps -o comm= --ppid $PPID | grep -c sleep)" = 3 ]; do :; done
    while ps -o comm= --ppid $PPID | grep -q sleep; do :; done'
  assert_success
}

@test "a daemon that has cleared its environment is ended, too" {
  run "$CONODE" exec --k8s-cores 1 -- sh -c 'env -i setsid sleep 4718 > /dev/null 2>&1 & exit 0'
  assert_success
  run pgrep -f 'sleep 4718'
  assert_failure
  assert_nothing_left
}

@test "kill -9 of the agent: the sweep finds what the command left running" {
  "$CONODE" exec --k8s-cores 1 -- sh -c 'setsid sleep 4714 & echo started; wait' > "$BATS_TEST_TMPDIR/exec" 3>&- &
  exec_pid=$!
  # shellcheck disable=SC2016 # the inner shell expands it
  timeout 60 sh -c 'tail -n +1 -f "$0" | grep -q -m 1 started' "$BATS_TEST_TMPDIR/exec"
  job=$(basename "$(dirname "$CONODE_STATE_DIR"/*/instance.json)")
  init=$(init_pid "$job")
  kill -9 "$(agent_pid "$job")"
  wait_gone "$init"
  wait "$exec_pid" || true
  run "$CONODE" sweep
  assert_success
  run pgrep -f 'sleep 4714'
  assert_failure
  assert_nothing_left
}
