#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A delegated cgroup beside the batch system's own, as conode's hooks make it: here with directories
# of the test user's that he has forbidden himself.

bats_require_minimum_version 1.5.0

setup() {
  load common
  own_state
  job=$(cgroup_directory)/job_7
  task=$job/step_0/user/task_0
  mkdir -p "$task" "$job/conode"
  closed=("$job" "$job/step_0" "$job/step_0/user" "$task")
  chmod a-w "${closed[@]}" "$job"/step_0/{,user/{,task_0/}}cgroup.procs
}

teardown() {
  "$CONODE" down --job seven > /dev/null 2>&1 || true
  chmod u+w "${closed[@]}"
  eventually grep -q 'populated 0' "$job/cgroup.events"
  find "$job" -depth -type d -exec rmdir {} +
}

# in_task COMMAND...: as the batch system starts it
in_task() {
  chmod u+w "$task/cgroup.procs"
  (
    echo "$BASHPID" > "$task/cgroup.procs"
    chmod a-w "$task/cgroup.procs"
    exec "$@"
  )
}

@test "exec moves to the delegated cgroup, one process stays for the batch system" {
  # shellcheck disable=SC2016 # the inner shell expands it
  run in_task "$CONODE" exec --job seven --k8s-cores 1 -- sh -c \
    'cat /proc/self/cgroup; "$0" status | grep enforcement; cat "$1/cgroup.procs" | wc -l; exit 3' "$CONODE" "$task"
  assert_failure 3
  assert_line --regexp '^0::.*/job_7/conode/conode\.seven\.[0-9a-f]{8}/hpc$'
  assert_line --partial 'enforcement grouped'
  assert_line 1
  assert_nothing_left seven
  run find "$job/conode" -mindepth 1 -type d
  assert_output ''
}

@test "a signal to the process that stayed ends the job in order" {
  in_task "$CONODE" exec --job seven --k8s-cores 1 -- sleep 600 > out 2>&1 3>&- &
  pid=$!
  eventually grep -q 'conode: .*ready' out
  kill -TERM "$(cat "$task/cgroup.procs")"
  code=0
  wait "$pid" || code=$?
  assert_equal "$code" 143
  assert_nothing_left seven
  refute grep 'left behind' out
}

@test "kill -9 of the process that stayed: the agent ends the job by itself" {
  in_task "$CONODE" up --job seven --k8s-cores 1 > out 2>&1
  agent=$(agent_pid seven)
  kill -9 "$(cat "$task/cgroup.procs")"
  wait_gone "$agent"
  assert_nothing_left seven
}

@test "a node's other agents do the same" {
  # shellcheck disable=SC2016 # the inner shell expands it
  run in_task "$CONODE" exec --job seven --nodes 2 --k8s-cores 1 -- sh -c \
    '"$0" run --node n1 -- cat /proc/self/cgroup; cat "$1/cgroup.procs" | wc -l' "$CONODE" "$task"
  assert_success
  assert_line --regexp '^0::.*/job_7/conode/conode\.seven\.n1\.[0-9a-f]{8}/hpc$'
  assert_nothing_left seven
}

@test "a command of the batch system's own step ends with the step" {
  in_task "$CONODE" up --job seven --k8s-cores 1 > out 2>&1
  agent=$(cat "$task/cgroup.procs")
  for signal in TERM KILL; do
    in_task "$CONODE" run --job seven -- sleep 4721 3>&- &
    eventually pgrep -x -f 'sleep 4721'
    rank=$(pgrep -x -f 'sleep 4721')
    run cat "/proc/$rank/cgroup"
    assert_output --regexp '/job_7/conode/conode\.seven\.[0-9a-f]{8}/hpc$'
    kill -$signal "$(grep -v -x "$agent" "$task/cgroup.procs")"
    wait_gone "$rank"
  done
  run in_task "$CONODE" run --job seven -- sh -c 'exit 6'
  assert_failure 6
  run "$CONODE" down --job seven
  assert_success
}
