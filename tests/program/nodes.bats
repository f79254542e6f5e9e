#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Several nodes: each a network namespace as a host, with an agent, a sandbox, containerd and a
# kubelet of its own.

bats_require_minimum_version 1.5.0

setup_file() {
  load common
  own_state
  "$CONODE" up --k8s-cores 1 --nodes 3 --image "$(busybox_archive)" > "$BATS_FILE_TMPDIR/up" 2>&1 || {
    cat "$BATS_FILE_TMPDIR/up"
    return 1
  }
  web_on_every_node 3
}

teardown_file() {
  load common
  own_state
  "$CONODE" down > /dev/null 2>&1 || "$CONODE" sweep > /dev/null 2>&1 || true
}

setup() {
  load common
  own_state
}

# pod_of_node NODE COMMAND...: in the pod there.
pod_of_node() {
  local node=$1
  shift
  "$CONODE" kubectl exec "$(pod_of "$node")" -- "$@"
}

pods() { "$CONODE" kubectl get pods -l app=everywhere -o "jsonpath={.items[*]$1}"; }

@test "every node is Ready, and carries its rank" {
  run "$CONODE" kubectl get nodes -o \
    'jsonpath={range .items[*]}{.metadata.name}={.metadata.labels.conode\.io/rank} {end}'
  assert_output 'n0=0 n1=1 n2=2 '
  run "$CONODE" status --json
  assert_equal "$(jq -c '[.nodes[].state]' <<< "$output")" '["ready","ready"]'
  assert_equal "$(jq -r .uplink <<< "$output")" 'relay over TCP, 2 of 2 nodes reached'
}

@test "pods reach pods of every other node" {
  for pod in $(pods .metadata.name); do
    for address in $(pods .status.podIP); do
      run "$CONODE" kubectl exec "$pod" -- wget -q -O - "http://$address/"
      assert_success
    done
  done
}

@test "a Service leads to the pods of all nodes, by its DNS name, from every node" {
  for pod in $(pods .metadata.name); do
    run "$CONODE" kubectl exec "$pod" -- sh -c \
      'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do wget -q -O - http://everywhere/; done | sort -u | tr "\n" " "'
    assert_output 'n0 n1 n2 '
  done
}

@test "the API server reaches the kubelet of another node: logs and exec" {
  pod=$("$CONODE" kubectl get pods -l app=everywhere --field-selector spec.nodeName=n2 -o name)
  run "$CONODE" kubectl exec "$pod" -- cat /index.html
  assert_output n2
  run "$CONODE" kubectl logs "$pod"
  assert_output 'serving n2'
}

@test "a large transfer between nodes arrives as it was sent" {
  assert_transfer n2 n1 64
}

@test "a command runs in the HPC part of another node, as if it were here" {
  cd "$BATS_TEST_TMPDIR"
  # shellcheck disable=SC2016 # the node's shell expands it
  WORD=kept run "$CONODE" run --node n1 -- sh -c \
    'hostname; pwd; echo "$WORD"; sed -n "s/^Cpus_allowed_list:\t//p" /proc/self/status; echo aside >&2; cat' <<< 'told'
  assert_output "$(hostname)-1
$BATS_TEST_TMPDIR
kept
$(hpc_cpus local.n1)
aside
told"
}

@test "its exit code is the command's, a signal's end included" {
  run -7 "$CONODE" run --node 2 -- sh -c 'exit 7'
  # shellcheck disable=SC2016 # the node's shell expands it
  run -137 "$CONODE" run --node n2 -- sh -c 'kill -9 $$'
  run -127 "$CONODE" run --node n2 -- no-such-program
  assert_output --partial "start 'no-such-program': No such file or directory"
}

@test "the first node reaches the API server by the same KUBECONFIG as the machine" {
  # shellcheck disable=SC2016 # the node's shell expands it
  run "$CONODE" run -- sh -c '"$0" kubectl get --raw /readyz' "$CONODE"
  assert_output ok
}

@test "a node that there is not is named" {
  run -125 "$CONODE" run --node n7 -- true
  assert_output --partial 'node n7: there is no such node'
  assert_output --partial 'the nodes are n0 to n2'
  run -125 "$CONODE" run --node seven -- true
  assert_output --partial "find node 'seven'"
  run "$CONODE" status --json # the agent has not minded
  assert_equal "$(jq -r .state <<< "$output")" running
}

@test "a signal reaches the command on its node, and its children end with the connection" {
  mkfifo "$BATS_TEST_TMPDIR/said"
  "$CONODE" run --node n1 -- sh -c 'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.1; done' > "$BATS_TEST_TMPDIR/said" 3>&- &
  exec {said}< "$BATS_TEST_TMPDIR/said"
  read -r -u "$said" word
  assert_equal "$word" ready
  kill -TERM $!
  read -r -u "$said" word
  assert_equal "$word" caught
  code=0
  wait $! || code=$?
  assert_equal $code 3
  "$CONODE" run --node n1 -- sh -c 'echo $$; exec sleep 4716' > "$BATS_TEST_TMPDIR/said" 3>&- &
  exec {said}< "$BATS_TEST_TMPDIR/said"
  read -r -u "$said" pid
  kill -KILL $! # nobody is there any more: SIGHUP
  wait_gone "$pid"
}

@test "an image that is imported, or removed, is so on every node" {
  run "$CONODE" image import "$(busybox_archive)" --name imported-later
  assert_success
  for job in local local.n1 local.n2; do
    run "$CONODE" image list --job $job
    assert_line --partial imported-later
  done
  run "$CONODE" image remove imported-later
  assert_success
  for job in local local.n1 local.n2; do
    run "$CONODE" image list --job $job
    refute_line --partial imported-later
  done
}

@test "a hostPort is a port of the pod's node, for pods of all nodes" {
  "$CONODE" kubectl apply -f - << 'YAML'
apiVersion: v1
kind: Pod
metadata: {name: ported}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "echo ported > /index.html; exec httpd -f -p 80 -h /"]
    ports: [{containerPort: 80, hostPort: 8088}]
YAML
  "$CONODE" kubectl wait pod/ported --for=condition=Ready --timeout=60s
  for node in n0 n1 n2; do
    run pod_of_node "$node" wget -qO- http://10.88.0.2:8088/index.html
    assert_output ported
  done
  run pod_of_node n0 wget -qO- http://10.88.0.3:8088/index.html # nobody's there
  assert_failure
  "$CONODE" kubectl delete pod/ported --wait
  SECONDS=0 # the object goes before what it stood for
  while pod_of_node n0 wget -qO- http://10.88.0.2:8088/index.html; do [ $SECONDS -lt 30 ]; done
}

@test "mpirun uses the cores of all nodes, and nothing but those" {
  # shellcheck disable=SC2016 # the ranks' shells expand it
  run "$CONODE" run -- mpirun -n 3 sh -c \
    'echo "$OMPI_COMM_WORLD_RANK $(hostname) $(sed -n "s/^Cpus_allowed_list:\t//p" /proc/self/status)"'
  assert_success
  assert_line --regexp "^[012] $(hostname) $(hpc_cpus local)\$"
  assert_line --regexp "^[012] $(hostname)-1 $(hpc_cpus local.n1)\$"
  assert_line --regexp "^[012] $(hostname)-2 $(hpc_cpus local.n2)\$"
  run "$CONODE" run -- mpirun -n 4 true
  assert_failure # three slots
}

@test "no node uses the HPC part's cores" {
  for job in local local.n1 local.n2; do
    assert_threads_stay_on_k8s_cpus "$job"
  done
}

@test "a node that dies: the job ends, says which, and leaves nothing" {
  run "$CONODE" exec --job dying --k8s-cores 1 --nodes 2 -- sh -c \
    "kill -9 \$(jq .pid $CONODE_STATE_DIR/dying.n1/instance.json); exec sleep 4715"
  assert_failure 125
  assert_output --partial 'node n1 (local host 1) is missing: '
  assert_nothing_left dying
}

@test "a node that dies in the background: a file where 'up' was called says which" {
  cd "$BATS_TEST_TMPDIR"
  run "$CONODE" up --job unwatched --k8s-cores 1 --nodes 2
  assert_success
  first=$(agent_pid unwatched)
  kill -9 "$(agent_pid unwatched.n1)"
  wait_gone "$first"
  run cat conode-unwatched.log
  assert_line "conode: job 'unwatched' has ended"
  assert_line --partial 'conode: node n1 (local host 1) is missing: '
  assert_line --partial 'what to do: '
  assert_nothing_left unwatched
}

@test "a node that dies: the rest goes on where that is wanted" {
  run "$CONODE" up --job lasting --k8s-cores 1 --nodes 2 --missing-node go_on
  assert_success
  kill -9 "$(agent_pid lasting.n1)"
  # shellcheck disable=SC2016 # the inner shell expands it
  timeout 60 sh -c 'until "$0" status --job lasting --json | jq -e ".nodes[0].state == \"lost\""; do :; done' "$CONODE"
  CONODE_JOB=lasting run "$CONODE" kubectl get --raw /readyz
  assert_output ok
  run grep -c slots= "$CONODE_STATE_DIR/lasting/hostfile" # mpirun does not look for it
  assert_output 1
  run "$CONODE" down --job lasting # also of the node that was lost: it was on this machine
  assert_success
  assert_nothing_left lasting
}

@test "rank 0 dies: all nodes end by themselves" {
  run "$CONODE" up --job headless --k8s-cores 1 --nodes 3
  assert_success
  first=$(agent_pid headless.n1)
  second=$(agent_pid headless.n2)
  kill -9 "$(agent_pid headless)"
  wait_gone "$first"
  wait_gone "$second"
  [ ! -e "$CONODE_STATE_DIR/headless.n1" ]
  [ ! -e "$CONODE_STATE_DIR/headless.n2" ]
  run "$CONODE" sweep
  assert_nothing_left headless
}

@test "a node that cannot start: its own words are in the report" {
  touch "$CONODE_STATE_DIR/broken.n1" # where its state directory would be
  run "$CONODE" up --job broken --k8s-cores 1 --nodes 2
  assert_failure
  assert_output --partial 'node n1 (local host 1) is missing: its agent ended with exit code 1'
  assert_output --partial "broken.n1': Not a directory"
  rm "$CONODE_STATE_DIR/broken.n1"
  assert_nothing_left broken
}

@test "a stranger cannot pass as an agent" {
  run "$CONODE" agent < /dev/null
  assert_failure
  assert_output --partial 'read the ticket'
}

@test "down ends all nodes, and proves it" {
  run "$CONODE" down
  assert_success
  assert_output --partial 'nothing is left'
  assert_nothing_left
}

# Stands in for ssh(1), which needs a server: checks what it is called with, and does what sshd would.
fake_ssh() {
  mkdir -p "$BATS_TEST_TMPDIR/bin"
  cat > "$BATS_TEST_TMPDIR/bin/ssh" << 'SH'
#!/bin/sh
if [ "$1" = -G ]; then
  printf 'user nobody\nhostname 127.0.0.1\nport 22\n'
  exit
fi
case "$*" in
  *'BatchMode=yes'*' -T other.host '*) ;;
  *) echo "unexpected: $*" >&2 && exit 255 ;;
esac
for last; do :; done
exec env -i HOME="$HOME" PATH=/usr/bin:/bin sh -c "$last"
SH
  chmod +x "$BATS_TEST_TMPDIR/bin/ssh"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

@test "a host by ssh joins, gets the images, and goes with the job" {
  fake_ssh
  # shellcheck disable=SC2016 # the inner shell expands it
  run "$CONODE" exec --job remote --k8s-cores 1 --host other.host --image "$(busybox_archive)" -- \
    sh -c '"$0" kubectl get nodes -o name; "$0" status --json | jq -r ".nodes[0].state"
      "$0" image import "$1" --name imported-later; "$0" run --node n1 -- "$0" image list' \
    "$CONODE" "$(busybox_archive)"
  assert_success
  assert_line node/n0
  assert_line node/n1
  assert_line ready
  assert_line --regexp '^docker.io/library/busybox:.* sha256:' # that and the next is said at n1
  assert_equal "$(grep -c '^docker.io/library/imported-later:' <<< "$output")" 2 # here, and there
  refute_output --partial 'left behind'
  assert_nothing_left remote
}

@test "a host that ssh cannot reach is named" {
  fake_ssh
  run "$CONODE" exec --job remote --k8s-cores 1 --host no.such.host -- true
  assert_failure 125
  assert_output --partial 'node n1 (no.such.host) is missing: its agent ended with exit code 255: unexpected'
  assert_nothing_left remote
}
