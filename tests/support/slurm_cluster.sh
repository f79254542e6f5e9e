#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# slurm_cluster.sh start|stop DIRECTORY: real Slurm on this machine, a controller and two nodes, s1 and
# s2, all as the caller, who needs no root for jobs of his own. What slurmd does with cgroups is not in
# here. `start` prints the path of slurm.conf, for SLURM_CONF; what it starts is in DIRECTORY/pids.
# shellcheck disable=SC2016 # inner shells expand what is quoted
set -euo pipefail

readonly verb=$1 directory=$2 port=16817 # and the two behind it

write_conf() {
  local host
  host=$(hostname)
  cat << CONF
ClusterName=conode
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$directory/munge.sock
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool/%n
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd-%n.pid
KillWait=10
Prolog=$directory/prolog
Epilog=$directory/epilog
SchedulerParameters=batch_sched_delay=0
NodeName=s[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 2))] CPUs=$(nproc) RealMemory=1000
PartitionName=all Nodes=ALL Default=YES State=UP
CONF
}

# start_daemon NAME COMMAND...
start_daemon() {
  "${@:2}" > "$directory/$1.out" 2>&1 3>&- &
  echo $! >> "$directory/pids"
}

# conode's hooks, called as root's would be: here slurmd is no root, so that nothing of theirs succeeds.
write_hooks() {
  local prefix script
  prefix=$(dirname "$(dirname "$(readlink -f "${CONODE:-conode}")")")
  for script in prolog epilog; do
    printf '#!/bin/sh\nCONODE_HOOK=%s exec %s >> %s 2>&1\n' "$prefix/libexec/conode/conode-hook" \
      "$prefix/share/conode/hooks/slurm/$script" "$directory/$script.out" > "$directory/$script"
    chmod 755 "$directory/$script"
  done
}

start() {
  export SLURM_CONF=$directory/slurm.conf
  mkdir -p "$directory/state" "$directory/spool"
  write_hooks
  write_conf > "$SLURM_CONF"
  (umask 077 && head -c 128 /dev/urandom > "$directory/munge.key")
  start_daemon munged munged --foreground --force --key-file="$directory/munge.key" \
    --socket="$directory/munge.sock" --pid-file="$directory/munged.pid" \
    --log-file="$directory/munged.log" --seed-file="$directory/munged.seed"
  timeout 10 sh -c 'until [ -S "$0" ]; do :; done' "$directory/munge.sock"
  start_daemon slurmctld slurmctld -D
  start_daemon s1 slurmd -D -N s1
  start_daemon s2 slurmd -D -N s2
  timeout 30 sh -c 'until [ "$(sinfo --noheader --states=idle --format=%D)" = 2 ]; do :; done' 2> /dev/null
  echo "$SLURM_CONF"
}

stop() {
  local pid
  export SLURM_CONF=$directory/slurm.conf
  scancel --user "$(id -un)" 2> /dev/null || true
  # Epilogs write, too.
  timeout 20 sh -c 'while [ -n "$(squeue --noheader)" ]; do :; done' || true
  tac "$directory/pids" | while read -r pid; do
    kill "$pid" 2> /dev/null || true
    timeout 20 tail --pid="$pid" -f /dev/null || kill -9 "$pid"
  done
}

"$verb"
