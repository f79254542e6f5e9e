#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The converged workflow of docs/examples on three local nodes: MPI ranks in the HPC parts of all of
# them, a replica of the service on each.

bats_require_minimum_version 1.5.0

setup() {
  load common
  own_state
  example=$BATS_TEST_DIRNAME/../../docs/examples/converged_workflow
}

@test "one simulation on the HPC parts of three nodes, replicas that share what they learn" {
  "$example/build_image.sh" > /dev/null 2> "$BATS_TEST_TMPDIR/image" ||
    skip "the service's image cannot be made here: $(tail -n 1 "$BATS_TEST_TMPDIR/image")"
  results=$BATS_TEST_TMPDIR/results
  run --separate-stderr "$example/run.sh" --nodes 3 --runs 4 --held-out 2 --max-size 9 --steps 20 --output "$results"
  # shellcheck disable=SC2154 # run sets it
  echo "$stderr"
  assert_success
  assert_line --regexp 'its replicas are on n[012] n[012] n[012], CPUs '
  assert_line --partial 'LAMMPS runs with 3 rank(s) on 3 node(s)'
  assert_line --partial 'each of 3 replica(s) knows all 4 samples'
  run jq -c '[.runs, .held_out, .ranks, (.partition.hosts | length), .partition.outside_hpc_part, .partition.on_k8s_cores]' \
    "$results/results.json"
  assert_output '[4,2,3,3,0,0]'
  assert_nothing_left
}

@test "the workflow outside of a job says where it belongs" {
  run env -u CONODE_JOB "$example/workflow.sh" --output "$BATS_TEST_TMPDIR/results"
  assert_failure 1
  assert_output --partial 'this is not the HPC part of a conode job'
  assert_output --partial 'remedy: start it with run.sh'
}
