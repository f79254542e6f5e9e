#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What administrators install: the batch systems' scripts call conode-hook with what their
# environment says (as Slurm 24.11, Flux 0.88 and OpenPBS 23.06 give it), and never fail a job.
# shellcheck disable=SC2016 # what looks like an expansion is an attack

bats_require_minimum_version 1.5.0

setup() {
  load common
  hook=$(dirname "$(dirname "$(readlink -f "$CONODE")")")/libexec/conode/conode-hook
  scripts=$(dirname "$(dirname "$(readlink -f "$CONODE")")")/share/conode/hooks
  cd "$BATS_TEST_TMPDIR" || return
  mkdir bin
  export CONODE_HOOK=$PWD/bin/conode-hook CONODE_HOOKS_CONF=$PWD/hooks.conf
  # Says how it was called, a word a line, and fails.
  printf '#!/bin/sh\nprintf "<%%s>" "$@"; echo; exit 1\n' > "$CONODE_HOOK"
  printf '#!/bin/sh\n[ "$*" = "show hostnames n[1-2]" ] && printf "n1\\nn2\\n"\n' > bin/scontrol
  printf '#!/bin/sh\n[ "$1" = ahostsv4 ] && echo "192.0.2.${2#n} STREAM $2"\n' > bin/getent
  chmod 755 bin/*
}

# in_slurm SCRIPT [NAME=VALUE...]: Slurm sets no PATH.
in_slurm() {
  local script=$1
  shift
  env -i PATH="$PWD/bin:/usr/bin:/bin" CONODE_HOOK="$CONODE_HOOK" CONODE_HOOKS_CONF="$CONODE_HOOKS_CONF" \
    SLURM_JOB_ID=17 SLURM_JOB_UID=1000 SLURM_JOB_GID=100 SLURM_JOB_NODELIST='n[1-2]' \
    SLURM_JOB_NUM_NODES=2 SLURMD_NODENAME=n2 "$@" "$scripts/slurm/$script"
}

@test "Slurm: Prolog and Epilog say what the hook asks for, and never fail" {
  run in_slurm prolog
  assert_success
  assert_output '<delegate><--job><17><--uid><1000><--gid><100>'
  run in_slurm prolog SLURM_JOB_SLUID=sEKNKTV3WPV500
  assert_output '<delegate><--job><17><--uid><1000><--gid><100><--cgroup-name><sEKNKTV3WPV500>'
  run in_slurm epilog SLURM_JOB_SLUID=sEKNKTV3WPV500
  assert_success
  assert_output '<cleanup><--job><17><--uid><1000><--gid><100><--cgroup-name><sEKNKTV3WPV500>'
}

@test "Slurm: a VXLAN where the administrator wants one" {
  echo VXLAN=yes > hooks.conf
  run in_slurm prolog
  assert_success
  assert_line '<vxlan><up><--job><17><--uid><1000><--rank><1><--peer><0=192.0.2.1><--peer><1=192.0.2.2>'
  run in_slurm prolog SLURM_JOB_NUM_NODES=1
  refute_line --partial vxlan
  chmod o+w hooks.conf # anybody's words
  run in_slurm prolog
  assert_success
  refute_line --partial vxlan
}

@test "nothing of a job's names reaches a shell" {
  run in_slurm prolog 'SLURM_JOB_ID=17; touch broken' 'SLURM_JOB_SLUID=$(touch broken)'
  assert_success
  assert_output '<delegate><--job><17; touch broken><--uid><1000><--gid><100><--cgroup-name><$(touch broken)>'
  run in_pbs EXECJOB_END '1[$(touch broken)].s'
  assert_success
  assert_output --partial '<--job><1___touch_broken__.s>'
  assert [ ! -e broken ]
}

# in_pbs EVENT JOB [USER]: the hook as pbs_mom runs it, with what it uses of OpenPBS 23.06's module `pbs`.
in_pbs() {
  cat > pbs.py << 'PYTHON'
import os, types
EXECJOB_LAUNCH, EXECJOB_END, EVENT_ERROR = range(3)
def accept(): raise SystemExit(0)
def event():
    job = types.SimpleNamespace(id=os.environ["JOB"], euser=os.environ["JOB_USER"])
    return types.SimpleNamespace(type=globals()[os.environ["EVENT"]], accept=accept, job=job)
def logjobmsg(job, text): print(job, text)
def logmsg(level, text): print(level, text)
PYTHON
  EVENT=$1 JOB=$2 JOB_USER=${3:-$(id -un)} PYTHONPATH=$PWD /usr/bin/python3 "$scripts/pbs/conode_hook.py"
}

@test "PBS: a cgroup for each task before it begins, clean-up after the job, and no failure" {
  run in_pbs EXECJOB_LAUNCH 12.server
  assert_success
  assert_output --regexp "^12.server <delegate><--job><12.server><--uid><$(id -u)><--gid><$(id -g)><--pid><[0-9]+><--make-in></>$"
  run in_pbs EXECJOB_END '12[3].server'
  assert_success
  assert_output "12[3].server <cleanup><--job><12_3_.server><--uid><$(id -u)><--gid><$(id -g)>"
  run in_pbs EXECJOB_END 12.server nobody-of-that-name
  assert_success
  assert_output --partial 'nobody-of-that-name'
  rm "$CONODE_HOOK"
  run in_pbs EXECJOB_LAUNCH 12.server
  assert_success
  assert_output --partial "No such file or directory: '$CONODE_HOOK'"
}

@test "Flux: clean-up by the names that conode's agents use" {
  FLUX_JOB_ID=f2hXSv1 FLUX_JOB_USERID=$(id -u) run "$scripts/flux/epilog"
  assert_success
  assert_output "<cleanup><--job><f2hXSv1><--uid><$(id -u)><--gid><$(id -g)>"
  FLUX_JOB_ID=f2hXSv1 FLUX_JOB_USERID=$(id -u) run "$scripts/flux/prolog"
  assert_success
  assert_output '<cleanup><--job><f2hXSv1>'
}

@test "install writes, leaves what is somebody else's, and is taken back" {
  run "$hook" install --system slurm --prefix "$PWD/root" --dry-run
  assert_success
  assert [ ! -e root ]
  run "$hook" install --system slurm --prefix "$PWD/root"
  assert_success
  assert_output --partial 'PrologFlags=Contain,RunInJob'
  assert [ -x root/etc/slurm/prolog.d/50-conode ]
  run cmp root/etc/slurm/epilog.d/50-conode "$scripts/slurm/epilog"
  assert_success
  run "$hook" install --system slurm --prefix "$PWD/root"
  assert_line "there is $PWD/root/etc/slurm/prolog.d/50-conode"
  echo '# of the site' > root/etc/slurm/epilog.d/50-conode
  run "$hook" install --system slurm --prefix "$PWD/root"
  assert_failure 1
  assert_output --partial 'there is another file of that name'
  run "$hook" uninstall --system slurm --prefix "$PWD/root"
  assert_success
  assert [ ! -e root/etc/slurm/prolog.d/50-conode ]
  assert_equal "$(cat root/etc/slurm/epilog.d/50-conode)" '# of the site'
}

@test "PBS gets its hook from its server: how is told, with the path" {
  run "$hook" install --system pbs
  assert_success
  assert_output --partial "import hook conode application/x-python default $scripts/pbs/conode_hook.py"
  run "$hook" uninstall --system pbs
  assert_output --partial 'delete hook conode'
}

@test "a job that has no cgroup is told what the site lacks; clean-up is none's failure" {
  run "$hook" delegate --job 17 --uid 1000 --gid 1000 --run-dir "$PWD/run"
  assert_failure 1
  assert_output --partial 'PrologFlags=RunInJob'
  run "$hook" cleanup --job 17 --run-dir "$PWD/run"
  assert_success
  run "$hook" cleanup --job 17/18 --run-dir "$PWD/run"
  assert_failure 1
  run "$hook" delegate --job 17
  assert_failure 2
  assert_output --partial 'required'
}
