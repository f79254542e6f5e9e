#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The SPANK plugin in a real slurmd, in the place of the Prolog, as before Slurm 24.05: on n3.
# shellcheck disable=SC2016 # expanded in the job

bats_require_minimum_version 1.5.0

setup_file() {
  load common
  # A glob that matches nothing would drain the node.
  as n3 'plugin=$(dpkg -L conode | grep /spank_conode.so)' \
    'echo "optional $plugin" > /etc/slurm/plugstack.conf' \
    'mv /etc/slurm/prolog.d/50-conode /root/prolog' \
    'printf "#!/bin/sh\n" > /etc/slurm/prolog.d/nothing && chmod 755 /etc/slurm/prolog.d/nothing'
}

teardown_file() {
  load common
  as n3 'rm /etc/slurm/plugstack.conf /etc/slurm/prolog.d/nothing' \
    'mv /root/prolog /etc/slurm/prolog.d/50-conode'
}

setup() { load common; }

readonly look='job=$(sed -E "s,^0::(.*/job_[0-9]+)/.*,/sys/fs/cgroup\1," /proc/self/cgroup)
  echo "owner $(stat -c %U $job/conode)"; echo "has $(cat $job/conode/cgroup.controllers)"
  sh -c "echo \$\$ > $job/conode/cgroup.procs && echo moved"'

@test "a batch job has its directory before its script begins" {
  job=$(submit alice --nodelist=n3 --ntasks=1 --mem=300M -- "$look")
  await job_has_ended "$job"
  run output_of alice n3 "$job"
  assert_line 'owner alice'
  assert_line 'has cpuset cpu io memory pids'
  assert_line moved
  assert_nothing_left_of "$job" alice
}

@test "so has the first step of a job without a batch script" {
  run as alice@n1 "srun --nodelist=n3 --ntasks=1 --mem=300M bash -c $(printf %q "$look")"
  assert_success
  assert_line 'owner alice'
  assert_line moved
  refute_output --partial 'conode:'
}

@test "a hook that is missing keeps no job from running" {
  as n3 'mv /usr/libexec/conode/conode-hook /usr/libexec/conode/away'
  run as alice@n1 'srun --nodelist=n3 --ntasks=1 --mem=300M echo ran'
  as n3 'mv /usr/libexec/conode/away /usr/libexec/conode/conode-hook'
  assert_success
  assert_line ran
  await nodes_are_idle
}
