#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real Slurm (tests/support/slurm_cluster.sh): a controller and two nodes on this machine, all as the
# test user.
# shellcheck disable=SC2016 # inner shells expand what is quoted

bats_require_minimum_version 1.5.0

setup_file() {
  load common
  own_state
  export SLURM_DIR=$BATS_FILE_TMPDIR/slurm
  mkdir "$SLURM_DIR"
  SLURM_CONF=$("$BATS_TEST_DIRNAME/../support/slurm_cluster.sh" start "$SLURM_DIR" 3>&-)
  export SLURM_CONF
}

teardown_file() { "$BATS_TEST_DIRNAME/../support/slurm_cluster.sh" stop "$SLURM_DIR"; }

setup() {
  load common
  cd "$BATS_TEST_TMPDIR" || return
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

# The first exchange of the wire protocol: an MPI library without PMIx does the same.
@test "srun's PMI2 reaches the ranks" {
  cat > pmi2.sh << 'SCRIPT'
echo 'cmd=init pmi_version=2 pmi_subversion=0' >&"$PMI_FD"
read -ru "$PMI_FD" answer
echo "$answer for rank $PMI_RANK of $PMI_SIZE"
SCRIPT
  submit --nodes=1 --ntasks=2 --wait -- 'conode exec --k8s-cores 1 -- \
      srun --overlap --mpi=pmi2 --ntasks=2 conode run -- bash pmi2.sh' > /dev/null
  run cat out-4294967294.txt
  for rank in 0 1; do
    assert_line --regexp "^cmd=response_to_init rc=0 .* for rank $rank of 2$"
  done
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

@test "a step of salloc's is a place to start from" {
  run salloc --nodes=2 --quiet srun --overlap --nodes=1 --ntasks=1 --quiet \
    "$CONODE" exec --k8s-cores 1 -- sh -c '"$0" kubectl get nodes -o name' "$CONODE"
  assert_success
  assert_line node/n1
  assert_nothing_left
}

@test "hooks that fail keep no job from running, and no node from the next one" {
  run submit --nodes=1 --wait -- 'echo ran'
  assert_success
  run cat "$SLURM_DIR/prolog.out"
  assert_output --partial 'conode-hook: delegate for job'
  assert_output --partial 'find the cgroup of job'
  eventually grep -q 'conode-hook' "$SLURM_DIR/epilog.out"
  run sinfo --noheader --states=drain,draining,down --format=%D
  refute_output --regexp '[1-9]'
}
