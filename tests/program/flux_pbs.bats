#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Jobs of Flux and of PBS, which Debian has not: their commands are stood in for by scripts that
# check every argument against the manual pages (flux-exec(1), flux-hostlist(1), flux-job(1),
# pbs_tmrsh(8B), qstat(1B)) and start what they are given on this host. The clusters are real.
# shellcheck disable=SC2016 # inner shells expand what is quoted

bats_require_minimum_version 1.5.0

setup() {
  load common
  own_state
  bin=$BATS_TEST_TMPDIR/bin
  mkdir "$bin"
  PATH=$bin:$PATH
  host=$(hostname)
}

teardown() { "$CONODE" sweep > /dev/null 2>&1 || true; }

# command NAME: on PATH, from standard input; whatever it does not know is an error that is seen.
command_on_path() {
  { echo '#!/bin/bash' && cat && echo 'echo "unexpected: $0 $*" >&2; exit 90'; } > "$bin/$1"
  chmod 755 "$bin/$1"
}

# An instance of two brokers on this host; its commands leave their arguments.
flux_instance() {
  command_on_path flux << SH
echo "\$*" >> '$BATS_TEST_TMPDIR/calls'
case \$1-\$2 in
  hostlist---expand) [ "\$*" = 'hostlist --expand instance' ] && echo $host other && exit ;;
  getattr-rank) [ \$# = 2 ] && echo 0 && exit ;;
  job-timeleft) [ \$# = 2 ] && echo \${LEFT:-3600} && exit ;;
  exec---rank=1)
    if [ -d "\${3#--dir=}" ]; then cd "\${3#--dir=}" && shift 3 && exec "\$@"; fi ;;
esac
SH
  # Names of brokers need not be known to anybody else.
  export FLUX_URI=local:///run/flux/local FLUX_ENCLOSING_ID=ƒ2hXSv1 CONODE_ADDRESS=127.0.0.1
}

@test "Flux: the instance's brokers are the nodes" {
  flux_instance
  run "$CONODE" exec --k8s-cores 1 -- sh -c '"$0" kubectl get nodes -o name; echo "job $CONODE_JOB"
    cd /usr && "$0" run --node n1 -- sh -c "pwd; exit 5"; echo "code $?"' "$CONODE"
  assert_success
  assert_line node/n0
  assert_line node/n1
  assert_line 'job f2hXSv1'
  assert_line /usr
  assert_line 'code 5'
  refute_output --partial unexpected
  assert_nothing_left f2hXSv1
  run grep -c 'secret\|CONODE_PART' "$BATS_TEST_TMPDIR/calls"
  assert_output 0
}

@test "Flux: the end begins before the time limit" {
  flux_instance
  LEFT=32 run "$CONODE" exec --k8s-cores 1 --before-limit 20s -- \
    sh -c 'trap "echo told in time; exit 4" TERM; sleep 600 & wait'
  assert_failure 4
  assert_line 'told in time'
  assert_nothing_left f2hXSv1
}

@test "Flux: a parallel job, and an instance that does not answer, are refused with the way out" {
  flux_instance
  FLUX_JOB_ID=fA FLUX_JOB_SIZE=2 run "$CONODE" exec --k8s-cores 1 -- true
  assert_failure 125
  assert_output --partial 'use Flux job fA: it has 2 tasks'
  assert_output --partial 'flux batch, flux alloc'
  command_on_path flux << 'SH'
echo 'flux: cannot reach the broker' >&2; exit 1
SH
  run "$CONODE" exec --k8s-cores 1 -- true
  assert_failure 125
  assert_output --partial 'find the nodes of Flux instance f2hXSv1'
  assert_output --partial 'cannot reach the broker'
}

# A job with two chunks: this host, and `second`.
pbs_job() {
  printf '%s\n' "$host" "$host" second second > "$BATS_TEST_TMPDIR/nodefile"
  command_on_path qstat << 'SH'
[ "$*" = '-f -F json 12[3].server' ] &&
  echo '{"Jobs":{"12[3].server":{"Resource_List":{"walltime":"01:00:00"}}}}' && exit
SH
  # As the TM interface has it: no shell, standard input empty, the home directory.
  command_on_path pbs_tmrsh << SH
echo "\$*" >> '$BATS_TEST_TMPDIR/calls'
[ "\$1" = second ] && shift && cd && exec "\$@" < /dev/null
SH
  export PBS_JOBID='12[3].server' PBS_NODEFILE=$BATS_TEST_TMPDIR/nodefile CONODE_ADDRESS=127.0.0.1
}

tickets() { find ~ -maxdepth 1 -name '.conode-tickets.*'; }

@test "PBS: the node file's hosts are the nodes; no ticket is left" {
  pbs_job
  run "$CONODE" exec --k8s-cores 1 -- sh -c '"$0" kubectl get nodes -o name; echo "job $CONODE_JOB"
    find ~ -maxdepth 1 -name ".conode-tickets.*"
    cd /usr && "$0" run --node n1 -- sh -c "exec test \$PWD = /usr"; echo "code $?"' "$CONODE"
  assert_success
  assert_line node/n0
  assert_line node/n1
  assert_line 'job 12_3_.server'
  assert_line 'code 0'
  refute_output --partial .conode-tickets
  refute_output --partial unexpected
  assert_nothing_left 12_3_.server
  run tickets
  assert_output ''
  run grep -E '^second .*conode agent --ticket /.*/n1$' "$BATS_TEST_TMPDIR/calls"
  assert_success
}

@test "PBS: nodes that do not share the home directory are told so" {
  pbs_job
  command_on_path pbs_tmrsh << 'SH'
[ "$1" = second ] && shift && rm -r ~/.conode-tickets.* && exec "$@" < /dev/null
SH
  run "$CONODE" exec --k8s-cores 1 -- true
  assert_failure 125
  assert_output --partial 'node n1 (second) is missing'
  assert_output --partial 'the home directory that all nodes are to share'
  run tickets
  assert_output ''
}

@test "a launcher of another batch system is refused" {
  flux_instance
  run "$CONODE" exec --k8s-cores 1 --launcher pbs -- true
  assert_failure 125
  assert_output --partial "start agents by 'pbs': this is no job of that batch system"
  unset FLUX_URI FLUX_ENCLOSING_ID
  run "$CONODE" exec --k8s-cores 1 --launcher flux -- true
  assert_failure 125
  assert_output --partial "start agents by 'flux': this is no job of that batch system"
}

@test "doctor says what the batch system gave, and what it would not start in" {
  flux_instance
  run "$CONODE" doctor
  assert_output --regexp "ok +batch job +Flux f2hXSv1, 2 nodes: $host other, (59|60) min left"
  assert_output --regexp "degraded +VXLAN of the job +none: pods of different nodes use the relay"
  FLUX_JOB_ID=fA FLUX_JOB_SIZE=2 run "$CONODE" doctor
  assert_failure 1
  assert_output --regexp 'missing +batch job +use Flux job fA: it has 2 tasks'
}
