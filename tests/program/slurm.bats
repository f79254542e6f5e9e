#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real Slurm: a controller and two nodes on this machine, all as the test user, who needs no root for
# jobs of his own. What slurmd does with cgroups is not in here.
# shellcheck disable=SC2016 # inner shells expand what is quoted

bats_require_minimum_version 1.5.0

slurm_port=16817 # and those behind it

setup_file() {
  load common
  own_state
  export SLURM_DIR=$BATS_FILE_TMPDIR/slurm SLURM_CONF=$BATS_FILE_TMPDIR/slurm/slurm.conf
  mkdir -p "$SLURM_DIR/state" "$SLURM_DIR/spool"
  write_slurm_conf > "$SLURM_CONF"
  (umask 077 && head -c 128 /dev/urandom > "$SLURM_DIR/munge.key")
  munged --foreground --force --key-file="$SLURM_DIR/munge.key" --socket="$SLURM_DIR/munge.sock" \
    --pid-file="$SLURM_DIR/munged.pid" --log-file="$SLURM_DIR/munged.log" \
    --seed-file="$SLURM_DIR/munged.seed" > /dev/null 2>&1 3>&- &
  echo $! > "$SLURM_DIR/pids"
  timeout 10 sh -c 'until [ -S "$0" ]; do :; done' "$SLURM_DIR/munge.sock"
  start_daemon slurmctld -D
  start_daemon slurmd -D -N s1
  start_daemon slurmd -D -N s2
  timeout 30 sh -c 'until [ "$(sinfo --noheader --states=idle --format=%D)" = 2 ]; do :; done' 2> /dev/null
}

start_daemon() {
  "$@" > "$SLURM_DIR/$1-${4:-}.out" 2>&1 3>&- &
  echo $! >> "$SLURM_DIR/pids"
}

write_slurm_conf() {
  local host
  host=$(hostname)
  cat << CONF
ClusterName=conode
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$slurm_port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$SLURM_DIR/munge.sock
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$SLURM_DIR/state
SlurmdSpoolDir=$SLURM_DIR/spool/%n
SlurmctldPidFile=$SLURM_DIR/slurmctld.pid
SlurmdPidFile=$SLURM_DIR/slurmd-%n.pid
KillWait=10
NodeName=s[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((slurm_port + 1))-$((slurm_port + 2))] CPUs=$(nproc) RealMemory=1000
PartitionName=all Nodes=ALL Default=YES State=UP
CONF
}

setup() {
  load common
  cd "$BATS_TEST_TMPDIR" || return
}

teardown_file() {
  local pid
  scancel --user "$(id -un)" 2> /dev/null || true
  tac "$SLURM_DIR/pids" | while read -r pid; do
    kill "$pid" 2> /dev/null || true
    timeout 20 tail --pid="$pid" -f /dev/null || kill -9 "$pid"
  done
}

# Until no job is there any more.
wait_for_queue() {
  timeout 60 sh -c 'while [ -n "$(squeue --noheader)" ]; do :; done'
}

# A batch script of these lines, and with which options it is submitted.
submit() { # OPTION... -- LINE...
  local options=()
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  { echo '#!/bin/bash' && printf '%s\n' "$@"; } > job.sh
  sbatch --parsable --output=out-%a.txt "${options[@]}" job.sh
}

@test "a batch job has its nodes, its images, its name, and the command's exit code" {
  run submit --nodes=2 --wait -- 'conode exec --k8s-cores 1 --image '"$(busybox_archive)"' -- sh -c "
      echo job \$CONODE_JOB of \$SLURM_JOB_ID
      conode kubectl get nodes -o name
      conode run --node n1 -- printenv SLURMD_NODENAME
      conode run --node n1 -- conode image list
      exit 7"'
  assert_failure 7
  run cat out-4294967294.txt
  id=$(sed -n 's/^job \(.*\) of .*/\1/p' <<< "$output")
  assert_line "job $id of $id"
  assert_line node/n0
  assert_line node/n1
  assert_line s2
  assert_line --regexp '^docker.io/library/busybox:'
  assert_line "conode: job '$id' has ended; audit: nothing is left"
  assert_nothing_left
}

@test "a job that is cancelled leaves nothing" {
  submit --nodes=2 -- 'conode exec --k8s-cores 1 -- sh -c "touch started; exec sleep 4719"'
  timeout 60 sh -c 'until [ -e started ]; do :; done'
  scancel --user "$(id -un)"
  wait_for_queue
  run "$CONODE" sweep # where Slurm was faster than our own end
  assert_success
  run pgrep -f 'sleep 4719'
  assert_failure
  assert_nothing_left
}

@test "the time limit: the command gets SIGTERM before, and the end is orderly" {
  run submit --nodes=2 --time=1 --wait -- 'export CONODE_BEFORE_LIMIT=45s' \
    'conode exec --k8s-cores 1 -- sh -c "trap \"exit 3\" TERM; sleep 4720 & wait"'
  assert_failure 3
  run cat out-4294967294.txt
  assert_line --partial "the batch job's time limit is near: ending"
  assert_line --partial 'audit: nothing is left'
  assert_nothing_left
}

@test "an array: its tasks run beside each other on one machine" {
  run submit --nodes=1 --ntasks=1 --array=1-2 --wait -- \
    'conode exec --k8s-cores 1 -- sh -c "conode kubectl get nodes -o name; echo \$CONODE_JOB"'
  assert_success
  run cat out-1.txt out-2.txt
  assert_equal "$(grep -c '^node/n0$' <<< "$output")" 2
  assert_equal "$(grep -E '^[0-9]+$' <<< "$output" | sort -u | wc -l)" 2
  assert_nothing_left
}

# On one node: two slurmd on one host take the same directory for PMIx, which is named by the step.
@test "srun starts the ranks of one MPI program in the HPC part, by PMIx" {
  printf 'region box block 0 4 0 4 0 4\ncreate_box 1 box\n' > box.in
  # shellcheck disable=SC2016 # the job's shells expand it
  submit --nodes=1 --ntasks=2 --wait -- 'conode exec --k8s-cores 1 -- sh -c "
      srun --overlap --mpi=pmix --ntasks=2 conode run -- lmp -in box.in -log none
      srun --overlap --ntasks=2 --label conode run -- grep Cpus_allowed_list /proc/self/status
      grep Cpus_allowed_list /proc/self/status"' > /dev/null
  run cat out-4294967294.txt
  assert_output --partial 'by 2 MPI processor grid' # two singletons would say: by 1
  assert_equal "$(grep -o 'Cpus_allowed_list:.*' <<< "$output" | sort -u | wc -l)" 1
  assert_nothing_left
}

@test "what cannot work is refused with the way out" {
  run srun --nodes=2 --ntasks=2 --quiet "$CONODE" exec --k8s-cores 1 -- true
  assert_failure
  assert_output --partial 'this is one of 2 tasks of a step'
  run salloc --nodes=1 --quiet "$CONODE" exec --k8s-cores 1 -- true # not on a node of the job
  assert_failure 125
  assert_output --partial 'this is none of its nodes'
  run submit --nodes=1 --wait -- 'conode exec --k8s-cores 1 --nodes 3 -- true'
  assert_failure 125
  run cat out-4294967294.txt
  assert_output --partial 'use 3 nodes: job'
  assert_nothing_left
}
