# SPDX-License-Identifier: Apache-2.0
# What the program tests share. Needs: an ordinary user, $CONODE (the program), $CONODE_BUNDLE.
# shellcheck shell=bash

bats_load_library bats-support
bats_load_library bats-assert

CONODE=${CONODE:-conode}

# A state directory of this file's own; every job of the test lives below it.
own_state() {
  unset CONODE_JOB KUBECONFIG
  export CONODE_STATE_DIR=$BATS_FILE_TMPDIR/state
  cd "$BATS_FILE_TMPDIR" || return # where an agent reports how it ended
}

# An OCI archive with busybox (Debian's static one), made once a run.
busybox_archive() {
  local archive=$BATS_RUN_TMPDIR/busybox.tar root=$BATS_RUN_TMPDIR/busybox-root applet
  if [ ! -e "$archive" ]; then
    mkdir -p "$root/bin" "$root/tmp"
    cp "$(command -v busybox)" "$root/bin/busybox"
    cp "$CONODE_TEST_SUPPORT/io_uring_probe" "$root/bin/"
    for applet in sh httpd sleep wget nslookup cat grep ls id taskset nproc env dd md5sum sort timeout tr; do
      ln -sf busybox "$root/bin/$applet"
    done
    chmod -R a+rX "$root" # for containers of another user, whatever our umask
    "$CONODE" image build "$root" "$archive.new" --name busybox --env PATH=/bin --cmd sh > /dev/null
    mv "$archive.new" "$archive"
  fi
  echo "$archive"
}

# web_server NAME CLUSTER_IP: a Deployment that serves HTTP behind a Service. 404 is its answer.
web_server() {
  "$CONODE" kubectl apply -f - << YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1}
spec:
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: web, image: busybox, imagePullPolicy: Never, command: [httpd, -f, -p, "80"]}
---
apiVersion: v1
kind: Service
metadata: {name: $1}
spec: {selector: {app: $1}, ports: [{port: 80}], clusterIP: $2}
YAML
  "$CONODE" kubectl rollout status "deployment/$1" --timeout=60s
}

# web_on_every_node NODES: a pod on each that serves its node's name, behind the Service `everywhere`.
web_on_every_node() {
  "$CONODE" kubectl apply -f - << 'YAML'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: busybox
        imagePullPolicy: Never
        command: [sh, -c, "echo $NODE > /index.html; echo serving $NODE; exec httpd -f -p 80 -h /"]
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        readinessProbe: {httpGet: {port: 80, path: /index.html}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: everywhere}
spec: {selector: {app: everywhere}, ports: [{port: 80}]}
YAML
  # Not `rollout status`: it is content before the controller has seen the object.
  "$CONODE" kubectl wait daemonset/everywhere --for=jsonpath='{.status.numberReady}'="$1" --timeout=90s
}

# Of web_on_every_node's pods, that of NODE: its name, its address.
pod_of() { "$CONODE" kubectl get pods -l app=everywhere --field-selector "spec.nodeName=$1" -o name; }
address_of() {
  "$CONODE" kubectl get pods -l app=everywhere --field-selector "spec.nodeName=$1" \
    -o 'jsonpath={.items[0].status.podIP}'
}

# assert_transfer FROM TO MIB: what the pod of node FROM serves arrives in that of TO as it was sent.
assert_transfer() {
  local sum
  sum=$("$CONODE" kubectl exec "$(pod_of "$1")" -- sh -c "dd if=/dev/urandom of=/big bs=1048576 count=$3 2> /dev/null; md5sum < /big")
  run "$CONODE" kubectl exec "$(pod_of "$2")" -- sh -c "wget -q -O - http://$(address_of "$1")/big | md5sum"
  assert_output "$sum"
}

# in_pod DEPLOYMENT COMMAND...
in_pod() {
  local deployment=$1
  shift
  "$CONODE" kubectl exec "deployment/$deployment" -- "$@"
}

# Of a job, or of its node: k8s_cpus [JOB]
k8s_cpus() { jq -r .k8s_cpus "$CONODE_STATE_DIR/${1:-local}/instance.json"; }
hpc_cpus() { jq -r .hpc_cpus "$CONODE_STATE_DIR/${1:-local}/instance.json"; }

# Every thread in the user namespace of the job's sandbox may run on Kubernetes cores only.
assert_threads_stay_on_k8s_cpus() { # [JOB]
  local namespace task allowed count=0 job=${1:-local} cpus
  cpus=$(k8s_cpus "$job")
  [ "$(hpc_cpus "$job")" != "$cpus" ]
  namespace=$(readlink "/proc/$(init_pid "$job")/ns/user")
  for task in /proc/[0-9]*/task/[0-9]*; do
    [ "$(readlink "${task%/task/*}/ns/user" 2> /dev/null)" = "$namespace" ] || continue
    allowed=$(awk '/^Cpus_allowed_list/ {print $2}' "$task/status" 2> /dev/null) || continue
    [ -n "$allowed" ] || continue
    count=$((count + 1))
    if [ "$allowed" != "$cpus" ]; then
      echo "$task $(cat "$task/comm") $allowed"
      false
    fi
  done
  [ "$count" -gt 20 ]
}

# A pod of deployment `web` sees only its cores, and cannot leave them.
assert_pod_stays_on_k8s_cpus() {
  run in_pod web grep Cpus_allowed_list /proc/self/status
  assert_output "Cpus_allowed_list:	$(k8s_cpus)"
  run in_pod web taskset -p -c "$(hpc_cpus)" 1
  assert_failure
  assert_output --partial 'Operation not permitted'
  run in_pod web io_uring_probe
  assert_output 'Function not implemented'
  run in_pod web grep Cpus_allowed_list /proc/1/status
  assert_output "Cpus_allowed_list:	$(k8s_cpus)"
}

assert_command_has_hpc_cpus() {
  run "$CONODE" run -- grep Cpus_allowed_list /proc/self/status
  assert_output "Cpus_allowed_list:	$(hpc_cpus)"
}

agent_pid() { jq .pid "$CONODE_STATE_DIR/$1/instance.json"; }
init_pid() { jq .init_pid "$CONODE_STATE_DIR/$1/instance.json"; }

# egress_pid [JOB]: of pasta or slirp4netns.
egress_pid() { pgrep -u "$(id -u)" -f "^[^ ]*(pasta|slirp4netns).* $(init_pid "${1:-local}")( egress0)?\$"; }

# eventually COMMAND...: repeats it until it succeeds, half a minute at most.
eventually() {
  local end=$((SECONDS + 30))
  until "$@" > /dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      echo "does not happen: $*"
      return 1
    fi
  done
}

# Waits until the process is gone: its end is an event of its pidfd, which tail follows.
wait_gone() { timeout 20 tail --pid="$1" -f /dev/null; }

# The kernel's truth: no state, no cgroup, no init of a sandbox of this file's jobs.
assert_nothing_left() { # [JOB]: all jobs without one
  run find "$CONODE_STATE_DIR" -mindepth 1 -maxdepth 1 -name "${1:-}*"
  assert_output ''
  run find "$(cgroup_directory)" -mindepth 1 -maxdepth 2 -type d -name "conode.${1:-}*"
  assert_output ''
  run pgrep -u "$(id -u)" -f "^conode-init $CONODE_STATE_DIR/${1:-}"
  assert_output ''
}

# The caller's own cgroup: the delegated one of the session.
cgroup_directory() {
  local mount
  mount=$(awk '/ - cgroup2 / {print $5; exit}' /proc/self/mountinfo)
  echo "$mount$(sed -n 's/^0:://p' /proc/self/cgroup)"
}
