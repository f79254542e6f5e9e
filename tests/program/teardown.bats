#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# However a job ends, nothing is left.

bats_require_minimum_version 1.5.0

setup() {
  load common
  own_state
}

teardown() {
  # Only after a failed test is there something, which must not fail the next one.
  "$CONODE" down --job local > /dev/null 2>&1 || "$CONODE" sweep > /dev/null 2>&1 || true
}

up() { "$CONODE" up --k8s-cores 1 "$@" > "$BATS_TEST_TMPDIR/up" 2>&1; }

@test "exec passes the exit code through and leaves nothing" {
  run "$CONODE" exec --k8s-cores 1 -- sh -c 'exit 42'
  assert_failure 42
  assert_nothing_left
}

@test "exec ends what its command left running" {
  run "$CONODE" exec --k8s-cores 1 -- sh -c 'setsid sleep 4711 > /dev/null 2>&1 & exit 0'
  assert_success
  run pgrep -f 'sleep 4711'
  assert_failure
  assert_nothing_left
}

@test "a command that does not exist is 127, and nothing is left" {
  run -127 "$CONODE" exec --k8s-cores 1 -- /no/such/program
  assert_output --partial '/no/such/program'
  assert_nothing_left
}

@test "down ends with a clean audit" {
  up
  web=$("$CONODE" kubectl get ns default -o name)
  [ "$web" = namespace/default ]
  run "$CONODE" down --json
  assert_success
  [ "$(jq -r '.left | length' <<< "$output")" = 0 ]
  assert_nothing_left
}

@test "SIGTERM, SIGINT and SIGHUP of the agent end the job" {
  for signal in TERM INT HUP; do
    up
    pid=$(agent_pid local)
    kill -"$signal" "$pid"
    wait_gone "$pid"
    assert_nothing_left
  done
}

@test "exec forwards a signal and returns the command's code" {
  "$CONODE" exec --job sig --k8s-cores 1 -- sh -c \
    "trap 'exit 9' TERM; touch $BATS_TEST_TMPDIR/ready; sleep 4715 & wait" &
  exec_pid=$!
  timeout 60 bash -c "until [ -e $BATS_TEST_TMPDIR/ready ]; do :; done"
  kill -TERM "$exec_pid"
  code=0
  wait "$exec_pid" || code=$?
  [ "$code" -eq 9 ]
  assert_nothing_left
}

@test "kill -9 of the agent: the kernel ends the sandbox, the sweep removes the rest" {
  up
  "$CONODE" run -- setsid sleep 4712 &
  timeout 20 bash -c "until pgrep -f 'sleep 4712'; do :; done"
  init=$(init_pid local)
  kill -9 "$(agent_pid local)"
  wait_gone "$init"
  run "$CONODE" sweep
  assert_success
  assert_output --partial "removed job 'local'"
  run pgrep -f 'sleep 4712'
  assert_failure
  assert_nothing_left
}

@test "kill -9 of the sandbox's init: the agent cleans up by itself" {
  up
  agent=$(agent_pid local)
  kill -9 "$(init_pid local)"
  wait_gone "$agent"
  assert_nothing_left
}

@test "kill -9 of the agent at any step of a bring-up: the sweep removes what there is" {
  for made in '' instance.json pki/ca.crt run/containerd.sock log/kube-apiserver.log kubeconfig \
    log/coredns.log; do
    "$CONODE" exec --job local --k8s-cores 1 -- sleep 4716 > "$BATS_TEST_TMPDIR/exec" 2>&1 3>&- &
    agent=$!
    timeout 60 bash -c "until [ -e '$CONODE_STATE_DIR/local/$made' ]; do :; done"
    kill -9 "$agent"
    wait "$agent" || true
    run "$CONODE" sweep
    assert_success
    run pgrep -f 'sleep 4716'
    assert_failure
    assert_nothing_left
  done
}

@test "kill -9 of the agent at any moment of a teardown: the sweep goes on where it was" {
  for seconds in 0 0.02 0.05 0.1 0.2; do
    up
    agent=$(agent_pid local)
    kill -TERM "$agent"
    sleep "$seconds" # a moment to inject the fault at, not something to wait for
    kill -9 "$agent" 2> /dev/null || true
    wait_gone "$agent"
    run "$CONODE" sweep
    assert_success
    assert_nothing_left
  done
}

@test "the next up sweeps what a killed agent left" {
  up --job old
  init=$(init_pid old)
  kill -9 "$(agent_pid old)"
  wait_gone "$init"
  up
  [ ! -e "$CONODE_STATE_DIR/old" ]
  run "$CONODE" down
  assert_success
  assert_nothing_left
}

@test "a terminal that is lost ends exec" {
  python3 - "$CONODE" << 'PY'
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "exec", "--k8s-cores", "1", "--", "sh", "-c", "echo started; exec sleep 4713"])
seen = b""
while b"started" not in seen:
    seen += os.read(terminal, 4096)
os.close(terminal)
os.waitpid(pid, 0)
PY
  run pgrep -f 'sleep 4713'
  assert_failure
  assert_nothing_left
}

@test "state that belongs to subordinate ids goes too" {
  up --image "$(busybox_archive)"
  "$CONODE" kubectl run writer --image=busybox --image-pull-policy=Never --restart=Never \
    --overrides='{"spec":{"securityContext":{"runAsUser":1234},"volumes":[{"name":"v","emptyDir":{}}],
    "containers":[{"name":"writer","image":"busybox","imagePullPolicy":"Never",
    "command":["sh","-c","mkdir -m 700 /v/d && echo x > /v/d/f"],"volumeMounts":[{"name":"v","mountPath":"/v"}]}]}}'
  "$CONODE" kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/writer --timeout=60s
  run "$CONODE" down
  assert_success
  assert_nothing_left
}

@test "kill -9 of the agent while ids are mapped: no orphan holds the job" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  cat > "$BATS_TEST_TMPDIR/bin/newuidmap" << SH
#!/bin/sh
echo \$PPID > "$BATS_TEST_TMPDIR/mapping.new"
mv "$BATS_TEST_TMPDIR/mapping.new" "$BATS_TEST_TMPDIR/mapping"
exec sleep 4717
SH
  chmod +x "$BATS_TEST_TMPDIR/bin/newuidmap"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH "$CONODE" up --k8s-cores 1 > /dev/null 2>&1 3>&- &
  # shellcheck disable=SC2016 # the inner shell expands it
  timeout 30 sh -c 'until [ -e "$0" ]; do :; done' "$BATS_TEST_TMPDIR/mapping"
  agent=$(cat "$BATS_TEST_TMPDIR/mapping")
  kill -9 "$agent"
  wait_gone "$agent"
  pkill -u "$(id -u)" -f 'sleep 4717'
  # shellcheck disable=SC2016 # the inner shell expands it
  timeout 10 sh -c 'until "$0" sweep | grep -q "removed job"; do :; done' "$CONODE"
  assert_nothing_left
}

@test "the command gets no descriptor of the agent" {
  run --separate-stderr "$CONODE" exec --k8s-cores 1 -- ls /proc/self/fd
  # Standard input and outputs, and the directory that ls reads.
  assert_output "$(printf '0\n1\n2\n3')"
}

@test "the agent may open all files that it can, its command as many as the caller" {
  soft_limit=$(($(ulimit -Hn) / 2))
  # shellcheck disable=SC2016 # the command's shell expands it
  run sh -c 'ulimit -Sn "$0"; exec "$@"' $soft_limit "$CONODE" exec --k8s-cores 1 -- \
    sh -c 'echo "command $(ulimit -Sn)"; sed -n "s/^Max open files *\([0-9]*\) .*/agent \1/p" /proc/$PPID/limits'
  assert_success
  assert_line "command $soft_limit"
  assert_line "agent $(ulimit -Hn)"
  assert_nothing_left
}

@test "nohup keeps exec and its command alive" {
  run sh -c "trap '' HUP; exec '$CONODE' exec --k8s-cores 1 -- sh -c 'kill -HUP \$PPID; kill -HUP \$\$; exit 7'"
  assert_failure 7
  assert_nothing_left
}

@test "two jobs of one name with different state directories do not notice each other" {
  up
  first=$(agent_pid local)
  run "$CONODE" up --k8s-cores 1 --state-dir "$BATS_TEST_TMPDIR/s"
  assert_success
  run "$CONODE" down --state-dir "$BATS_TEST_TMPDIR/s"
  assert_success
  assert_output --partial 'nothing is left'
  kill -0 "$first"
  run "$CONODE" kubectl get --raw /readyz
  assert_output ok
  run "$CONODE" down
  assert_success
  assert_nothing_left
}

@test "a waiting up that is interrupted ends what it has begun, and says so" {
  "$CONODE" up --k8s-cores 1 > "$BATS_TEST_TMPDIR/up" 2>&1 3>&- &
  waiting=$!
  # shellcheck disable=SC2016 # the inner shell expands it
  timeout 30 sh -c 'tail -n +1 -f "$0" | grep -q -m 1 sandbox' "$BATS_TEST_TMPDIR/up"
  agent=$(agent_pid local)
  kill -TERM "$waiting"
  code=0
  wait "$waiting" || code=$?
  [ "$code" -eq 143 ]
  wait_gone "$agent"
  run cat "$BATS_TEST_TMPDIR/up"
  assert_line "conode: interrupted; removing job 'local'"
  assert_nothing_left
}

@test "one core is enough, shared by both parts" {
  run taskset -c 0 "$CONODE" exec --k8s-cores 1 -- nproc
  assert_success
  assert_line 1
  assert_nothing_left
}

@test "whoever reads exec's messages goes: the command goes on to its end" {
  "$CONODE" exec --k8s-cores 1 -- sh -c "echo done > $BATS_TEST_TMPDIR/done" 2>&1 | head -n 1
  run cat "$BATS_TEST_TMPDIR/done"
  assert_output 'done'
  assert_nothing_left
}
