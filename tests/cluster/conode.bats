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
conode kubectl get node n1 -o 'jsonpath=allocatable {.status.allocatable.cpu} {.status.allocatable.memory}{"\n"}'
for node in n0 n1; do
  echo "hpc $node $(conode run --node $node -- grep Cpus_allowed_list /proc/self/status)"
done
srun --overlap --ntasks-per-node=1 --label conode run -- grep Cpus_allowed_list /proc/self/status
conode run --node n1 -- taskset 1 true > /dev/null 2>&1 && echo 'the HPC part took a core of Kubernetes'
conode run --node n1 -- dd if=/dev/zero of=/dev/null bs=900M count=1 > /dev/null 2>&1 &&
  echo 'the HPC part took more memory than it has'
conode run --node n1 -- dd if=/dev/zero of=/dev/null bs=200M count=1 > /dev/null 2>&1 && echo 'the HPC part goes on'
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
echo "outside of the job: $(pgrep -u "$USER" | while read -r pid; do
  grep -qF "${job#/sys/fs/cgroup}/" "/proc/$pid/cgroup" 2> /dev/null || cat "/proc/$pid/comm" 2> /dev/null
done | grep -vE '^(systemd|\(sd-pam\)|sshd.*)$' | paste -sd,)"
find "$job/conode" -maxdepth 2 -name '*k8s*' -type d | while read -r directory; do
  echo "k8s cpuset $(cat "$directory/cpuset.cpus") memory $(cat "$directory/memory.max") tasks $(cat "$directory/pids.max")"
done
find "$job/conode" -path '*kubepods*' -name 'pod*' -type d | while read -r directory; do
  echo "pod's tasks $(cat "$directory/pids.max")"
done
find "$job/conode" -type d -name kubepods | while read -r directory; do
  echo "kubepods memory $(cat "$directory/memory.max")"
  find "$directory" -mindepth 1 -maxdepth 1 -type d -printf 'qos %f\n'
done
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

# await_line LINE JOB [USER NODE]: until the job's output has it; fails if the job ends before.
await_line() {
  local line=$1
  shift
  await said_or_ended "$line" "$@"
  run output_of "${2:-alice}" "${3:-n1}" "$1"
  assert_line --regexp "$line"
}
said_or_ended() { output_of "${3:-alice}" "${4:-n1}" "$2" 2> /dev/null | grep -qE "$1" || job_has_ended "$2"; }

# A cluster that is being made: processes on both nodes, namespaces, half of the containers.
readonly half_made='  kubelet$' node_made='  node Ready$' made='^ready$'

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
  assert_line --regexp '^0: Cpus_allowed_list:.1$' # a step of Slurm's that `conode run` leads there
  assert_line --regexp '^1: Cpus_allowed_list:.1$'
  refute_line --partial 'the HPC part took'
  assert_line 'the HPC part goes on'
  assert_line --regexp '^k8s cpuset 0 memory [0-9]+ tasks [0-9]+$'
  assert_line --regexp "^pod's tasks [0-9]+$"
  assert_line 'allocatable 1 1Gi' # a core of two, and not the machine's memory
  assert_line --regexp '^kubepods memory [0-9]+$' # the kubelet holds the pods to it
  assert_line 'qos besteffort'
  assert_line 'qos burstable'
  assert_line --regexp '^outside of the job: ?$'
  assert_line --partial 'command in /conode/'
  assert_line --partial 'audit: nothing is left'
  run on_machine n1 scontrol --oneliner show job "$job"
  assert_output --partial 'ExitCode=7:0'
  for name in n1 n2; do # what sacct does not count before Slurm 26.05
    run as "$name" "journalctl -t conode-hook | grep -F 'job $job: conode used'"
    assert_output --regexp '[0-9.]+ s of CPU, at most [0-9]+ MiB of memory'
  done
  assert_nothing_left_of "$job" alice
}

@test "scancel leaves nothing" {
  job=$(start -- sh -c "'echo ready; exec sleep 4802'")
  await_line "$half_made" "$job"
  on_machine n1 scancel "$job"
  await job_has_ended "$job"
  assert_nothing_left_of "$job" alice
}

@test "the time limit: the end is orderly, and leaves nothing" {
  job=$(start --time=3 -- sh -c "'echo ready; exec sleep 4803'")
  await job_has_ended "$job"
  run output_of alice n1 "$job"
  assert_line --partial "the batch job's time limit is near: ending"
  assert_line --partial 'audit: nothing is left'
  assert_nothing_left_of "$job" alice
}

@test "kill -9 of slurmstepd: the epilogue cleans" {
  job=$(start -- sh -c "'echo ready; exec sleep 4804'")
  await_line "$half_made" "$job"
  as n1 "pkill -KILL -f '^slurmstepd: \[$job\.batch\]'"
  on_machine n1 scancel "$job"
  await job_has_ended "$job"
  assert_nothing_left_of "$job" alice
}

@test "kill -9 of the agents: the epilogue cleans" {
  job=$(start -- sh -c "'echo ready; exec sleep 4805'")
  await_line "$made" "$job"
  for name in n1 n2; do as "$name" "pkill -KILL -u alice -x conode"; done
  on_machine n1 scancel "$job" || true # it may have ended by itself
  await job_has_ended "$job"
  assert_nothing_left_of "$job" alice
}

@test "two users' clusters on one node" {
  local users=(alice bob) user
  declare -A job
  for user in "${users[@]}"; do
    job[$user]=$(submit "$user" --nodelist=n3 --ntasks=1 --mem=1300M -- \
      'exec conode exec --k8s-cores 1 --allow-shared-core -- sh -c "echo ready; exec sleep 4806"')
  done
  for user in "${users[@]}"; do await_line "$node_made" "${job[$user]}" "$user" n3; done
  for user in "${users[@]}"; do
    run as "$user@n3" 'conode status' 'conode kubectl get nodes --no-headers' 'ls -d /tmp/conode-*/*/kubeconfig 2> /dev/null'
    assert_line "job ${job[$user]}: running"
    assert_line --regexp '^n0 +Ready '
    assert_equal "$(grep -c '/kubeconfig$' <<< "$output")" 1 # the other's is out of sight
  done
  on_machine n1 scancel "${job[alice]}"
  await job_has_ended "${job[alice]}"
  run as bob@n3 'conode kubectl get nodes --no-headers'
  assert_line --regexp '^n0 +Ready '
  on_machine n1 scancel "${job[bob]}"
  await job_has_ended "${job[bob]}"
  for user in "${users[@]}"; do assert_nothing_left_of "${job[$user]}" "$user"; done
}
