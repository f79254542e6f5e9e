#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# conode in jobs of Slurm on two nodes, with the hooks: level `controllers`.
# shellcheck disable=SC2016 # expanded in the job

bats_require_minimum_version 1.5.0

setup_file() {
  load common
  as alice@n1 'rm -rf image && mkdir -p image/bin' \
    'cp /bin/busybox image/bin/ && for applet in sh sleep grep cat dd taskset httpd wget; do ln -s busybox image/bin/$applet; done' \
    'conode image build image busybox.tar.new --name busybox --env PATH=/bin --cmd sh' \
    'mv busybox.tar.new busybox.tar'
  # What runs in the HPC part once the cluster is ready; its lines are what the tests look at.
  on_machine alice@n1 'cat > look.sh && chmod +x look.sh' << 'SCRIPT'
#!/bin/bash
set -u
conode status | sed -n 's/^  enforcement /enforcement /p; s/^  uplink  */uplink /p'
conode kubectl get nodes --no-headers | awk '{print "node", $1, $2}'
for node in n0 n1; do
  echo "hpc $node $(conode run --node $node -- grep Cpus_allowed_list /proc/self/status)"
done
conode kubectl apply -f - << 'YAML'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: pod}
spec:
  selector: {matchLabels: {app: pod}}
  template:
    metadata: {labels: {app: pod}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: pod, image: busybox, imagePullPolicy: Never, command: [sleep, "1000000"]}
YAML
conode kubectl wait daemonset/pod --for=jsonpath='{.status.numberReady}'=2 --timeout=900s > /dev/null
for pod in $(conode kubectl get pods -o 'jsonpath={.items[*].metadata.name}'); do
  echo "pod $(conode kubectl exec "$pod" -- grep Cpus_allowed_list /proc/self/status)"
  conode kubectl exec "$pod" -- taskset 2 true > /dev/null 2>&1 && echo 'a pod took a core of the HPC part'
  conode kubectl exec "$pod" -- dd if=/dev/zero of=/dev/null bs=1200M count=1 > /dev/null 2>&1 &&
    echo 'a pod took more memory than the part has'
done
conode kubectl get pods --no-headers | awk '{print "restarts", $4}'
job=/sys/fs/cgroup$(sed -E 's,^0::(.*/job_[0-9]+)/.*,\1,' /proc/self/cgroup)
find "$job/conode" -maxdepth 2 -name '*k8s*' -type d | while read -r directory; do
  echo "k8s cpuset $(cat "$directory/cpuset.cpus") memory $(cat "$directory/memory.max")"
done
find "$job/conode" -type d -path '*kubepods*' -name '*besteffort*' | sed 's,.*/,qos ,' | sort -u
echo "command in $(sed 's,.*/job_[0-9]*,,' /proc/self/cgroup)"
exit 7
SCRIPT
}

setup() { load common; }

# start OPTION... -- COMMAND: a job of alice on n1 and n2
start() {
  local options=()
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  submit alice --nodelist=n1,n2 --nodes=2 --ntasks-per-node=1 --cpus-per-task=2 --mem=1600M "${options[@]}" -- \
    "exec conode exec --k8s-cores 1 --k8s-memory 1Gi --image busybox.tar -- $*"
}

# Until the job's command has said so; fails if the job ends before.
await_ready() {
  await said_ready_or_ended "$1"
  run output_of alice n1 "$1"
  assert_line ready
}
said_ready_or_ended() { output_of alice n1 "$1" 2> /dev/null | grep -qx ready || job_has_ended "$1"; }

@test "a job of two nodes: real controllers between Kubernetes and the HPC part" {
  job=$(start -- ./look.sh)
  await job_has_ended "$job"
  run output_of alice n1 "$job"
  assert_line --regexp '^enforcement controllers'
  assert_line 'uplink vxlan to 1 of 1 nodes' # of the Prolog's making
  assert_line 'node n0 Ready'
  assert_line 'node n1 Ready'
  assert_line --regexp '^hpc n0 Cpus_allowed_list:.1$'
  assert_line --regexp '^hpc n1 Cpus_allowed_list:.1$'
  assert_equal "$(grep -cE '^pod Cpus_allowed_list:.0$' <<< "$output")" 2
  refute_line --partial 'a pod took'
  assert_line --regexp '^k8s cpuset 0 memory [0-9]+$'
  assert_line --partial 'command in /conode/'
  assert_line --partial 'audit: nothing is left'
  run on_machine n1 scontrol --oneliner show job "$job"
  assert_output --partial 'ExitCode=7:0'
  assert_nothing_left_of "$job" alice
}

@test "scancel leaves nothing" {
  job=$(start -- sh -c "'echo ready; exec sleep 4802'")
  await_ready "$job"
  on_machine n1 scancel "$job"
  await job_has_ended "$job"
  assert_nothing_left_of "$job" alice
}

@test "the time limit leaves nothing" {
  job=$(start --time=6 -- sh -c "'echo ready; exec sleep 4803'")
  await job_has_ended "$job"
  assert_nothing_left_of "$job" alice
}

@test "kill -9 of slurmstepd: the epilogue cleans" {
  job=$(start -- sh -c "'echo ready; exec sleep 4804'")
  await_ready "$job"
  as n1 "pkill -KILL -f '^slurmstepd: \[$job\.batch\]'"
  on_machine n1 scancel "$job"
  await job_has_ended "$job"
  assert_nothing_left_of "$job" alice
}

@test "kill -9 of the agents: the epilogue cleans" {
  job=$(start -- sh -c "'echo ready; exec sleep 4805'")
  await_ready "$job"
  for name in n1 n2; do as "$name" "pkill -KILL -u alice -x conode"; done
  on_machine n1 scancel "$job" || true # it may have ended by itself
  await job_has_ended "$job"
  assert_nothing_left_of "$job" alice
}
