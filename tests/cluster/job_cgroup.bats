#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What Slurm gives a job by cgroup v2, and what conode's hooks add to it.
# shellcheck disable=SC2016 # expanded in the job

bats_require_minimum_version 1.5.0

setup() { load common; }

# run_job OPTION... -- LINE...: of alice on n1, to its end; sets $job, $output
run_job() {
  job=$(submit alice --nodelist=n1 "$@")
  await job_has_ended "$job"
  run output_of alice n1 "$job"
}

@test "a job has the cores and the memory that it asked for, by cgroup" {
  run_job --ntasks=1 --mem=300M -- 'job=$(sed -E "s,^0::(.*/job_[0-9]+)/.*,/sys/fs/cgroup\1," /proc/self/cgroup)' \
    'echo "cpus $(cat $job/cpuset.cpus.effective)"; echo "memory $(cat $job/memory.max)"; nproc'
  assert_line --regexp '^cpus [01]$'
  assert_line "memory $((300 * 1024 * 1024))"
  assert_line 1
}

@test "its user has a delegated directory with all controllers, and nothing else" {
  run_job --ntasks=2 --mem=300M -- 'job=$(sed -E "s,^0::(.*/job_[0-9]+)/.*,/sys/fs/cgroup\1," /proc/self/cgroup)' \
    'echo "owner $(stat -c %U $job/conode)"; echo "has $(cat $job/conode/cgroup.controllers)"' \
    'mkdir $job/conode/leaf && sh -c "echo \$\$ > $job/conode/leaf/cgroup.procs" && echo moved' \
    'echo "+cpuset +cpu +memory +pids" > $job/conode/cgroup.subtree_control && echo enabled' \
    'echo 50M > $job/conode/leaf/memory.max && echo limited' \
    'for file in $job/memory.max $job/cpuset.cpus $job/conode/memory.max $job/step_batch/user/cgroup.procs; do' \
    '  test -w $file && echo "may write $file"; done' 'rmdir $job/conode/leaf'
  assert_line 'owner alice'
  assert_line 'has cpuset cpu io memory pids'
  assert_line moved
  assert_line enabled
  assert_line limited
  refute_line --partial 'may write'
  assert_nothing_left_of "$job" alice
}

@test "two users' jobs on one node have a directory each, and not the other's" {
  first=$(submit alice --nodelist=n1 --ntasks=1 --mem=300M -- 'exec sleep 4800')
  await job_runs "$first"
  second=$(submit bob --nodelist=n1 --ntasks=1 --mem=300M -- \
    'for directory in $(find /sys/fs/cgroup/system.slice -type d -name conode); do' \
    '  test -w $directory/cgroup.procs && echo "mine $directory" || echo "not mine $directory"; done')
  await job_has_ended "$second"
  run output_of bob n1 "$second"
  assert_line --regexp "^mine .*/job_$second/conode$"
  assert_line --regexp "^not mine .*/job_$first/conode$"
  on_machine n1 scancel "$first"
  await job_has_ended "$first"
  assert_nothing_left_of "$first" alice
}

@test "who hides in the delegated directory is found by the epilogue" {
  run_job --ntasks=1 --mem=300M -- 'job=$(sed -E "s,^0::(.*/job_[0-9]+)/.*,/sys/fs/cgroup\1," /proc/self/cgroup)' \
    'mkdir -p $job/conode/deep/deeper' \
    'setsid sh -c "trap : TERM; echo \$\$ > $job/conode/deep/deeper/cgroup.procs; exec sleep 4801" > /dev/null 2>&1 &' \
    'until grep -q . $job/conode/deep/deeper/cgroup.procs; do :; done; echo hidden'
  assert_line hidden
  assert_nothing_left_of "$job" alice
}
