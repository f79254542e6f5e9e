#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The workflow itself, inside the HPC part of a job (run.sh starts it through 'conode exec'):
# LAMMPS on the bare cores of the HPC part, and in the Kubernetes part a service that learns from
# each run how long a box of a given size takes. Then the service predicts sizes it has not seen.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly conode=${CONODE:-conode}
readonly namespace=/api/v1/namespaces/default
readonly service=$namespace/services/timing-model:http/proxy

runs=40
held_out=10
min_size=8 # cells per edge; 4 atoms per cell
max_size=26
steps=100
seed=1
output=converged_workflow.results
check=false

usage() {
  cat <<USAGE
usage: workflow.sh [OPTION...]
  --runs N        runs to learn from (default $runs)
  --held-out M    runs to predict before they are measured (default $held_out)
  --min-size A --max-size B
                  random edges of the box, in cells (default $min_size to $max_size)
  --steps S       time steps of a run (default $steps)
  --seed R        of the random sizes (default $seed)
  --check         only see whether these options are understood
  --output DIR    where the results go (default ./$output)
USAGE
}

started=$EPOCHREALTIME
elapsed() { awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%6.1f", b - a }'; }
say() { printf '%s s  %s\n' "$(elapsed)" "$*"; }
fail() { # WHAT [REMEDY]
  printf 'workflow: error: %s\n' "$1" >&2
  [[ $# -lt 2 ]] || printf 'workflow:   remedy: %s\n' "$2" >&2
  exit 1
}

number() { # OPTION VALUE
  [[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || fail "$1 needs a whole number from 1 on, not '$2'"
  printf '%s' "$2"
}

read_arguments() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      -h | --help) usage && exit 0 ;;
      --check) check=true && shift && continue ;;
      --runs | --held-out | --min-size | --max-size | --steps | --seed | --output) ;;
      *) usage >&2 && fail "unknown argument '$1'" ;;
    esac
    [[ $# -ge 2 && -n $2 ]] || fail "$1 needs a value"
    case $1 in
      --runs) runs=$(number "$1" "$2") ;;
      --held-out) held_out=$(number "$1" "$2") ;;
      --min-size) min_size=$(number "$1" "$2") ;;
      --max-size) max_size=$(number "$1" "$2") ;;
      --steps) steps=$(number "$1" "$2") ;;
      --seed) seed=$(number "$1" "$2") ;;
      --output) output=$2 ;;
    esac
    shift 2
  done
  ((runs >= 4)) || fail "--runs must be 4 at least: the models need samples to be compared"
  ((held_out >= 2)) || fail "--held-out must be 2 at least: R2 needs a spread"
  ((min_size <= max_size)) || fail "--min-size $min_size is above --max-size $max_size"
  # LAMMPS needs a box of some cut-off lengths.
  ((min_size >= 4)) || fail "--min-size must be 4 at least: the box would be smaller than the forces"
}

check_place() {
  local tool missing=()
  [[ -n ${CONODE_JOB:-} && -n ${CONODE_JOB_HPC_CPUS:-} ]] ||
    fail "this is not the HPC part of a conode job" "start it with run.sh, or: conode exec -- $0"
  for tool in lmp:lammps mpirun:openmpi-bin python3:python3; do
    command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
  done
  [[ ${#missing[@]} -eq 0 ]] ||
    fail "programs are missing on this node" "sudo apt-get install ${missing[*]}"
  mkdir -p "$output" || fail "cannot make the directory '$output'" "give another with --output"
  output=$(cd "$output" && pwd)
  rm -f "$output"/{samples.csv,ranks.txt,predictions.json,results.json,results.csv,prediction.*}
}

kubectl() { "$conode" kubectl "$@"; }

# Pods have no address on the host; the API server carries requests to them, by mTLS.
get() { kubectl get --raw "$service$1" || fail "GET $1 of the service failed" "see: conode kubectl logs deployment/timing-model"; }
post() { # PATH JSON
  printf '%s' "$2" | kubectl create --raw "$service$1" -f - ||
    fail "POST $1 of the service failed" "see: conode kubectl logs deployment/timing-model"
}

explain_deployment() {
  {
    kubectl get pods --selector app=timing-model --output wide
    kubectl describe pods --selector app=timing-model | sed -n '/^Events:/,$p'
    kubectl logs deployment/timing-model --tail 20
  } >&2 || true
}

# A replica on each node. A user with a single id in the sandbox has no other to run the service as.
service_objects() {
  local edits="s/replicas: 1/replicas: $nodes/"
  if ! grep -qsE "^($(id -un)|$(id -u)):" /etc/subuid; then
    edits+='; /runAsNonRoot:/d; s/\(runAs[A-Za-z]*\): 1000/\1: 0/'
  fi
  sed "$edits" "$here/service.yaml"
}

# The smallest number of samples that a replica knows.
samples_known() {
  local pod
  for pod in $(kubectl get pods --selector app=timing-model --output jsonpath='{.items[*].metadata.name}'); do
    kubectl get --raw "$namespace/pods/$pod:8080/proxy/metrics" ||
      fail "GET /metrics of pod $pod failed" "see: conode kubectl logs $pod"
  done | python3 -c 'import json, sys; print(min(json.loads(line)["samples"] for line in sys.stdin))'
}

deploy() {
  nodes=$(kubectl get nodes --output name | wc -l)
  service_objects | kubectl apply -f - >/dev/null ||
    fail "the cluster did not take service.yaml" "see the error above, and: conode status"
  if ! kubectl rollout status deployment/timing-model --timeout 180s >/dev/null; then
    explain_deployment
    fail "the service did not become ready" \
      "see its pod and events above; ErrImageNeverPull means that exec lacked --image"
  fi
  kubectl wait endpointslice --selector kubernetes.io/service-name=timing-model \
    --for jsonpath='{.endpoints[0].conditions.ready}'=true --timeout 30s >/dev/null ||
    fail "the Service has no endpoint" "see: conode kubectl get endpointslices,pods"
  samples_before=$(samples_known)
  say "the service answers; its replicas are on $(kubectl get pods --selector app=timing-model \
    --output jsonpath='{.items[*].spec.nodeName}'), CPUs $CONODE_JOB_K8S_CPUS"
}

# CPUs of a list such as 0-3,8, one a line.
expand() {
  local range
  for range in ${1//,/ }; do seq "${range%-*}" "${range#*-}"; done
}

count_cores() {
  local cpu
  for cpu in $(expand "$CONODE_JOB_HPC_CPUS"); do
    cat "/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list" 2>/dev/null || echo "$cpu"
  done | sort -u | wc -l
}

# On a job of several nodes conode has written down how many cores each has for MPI.
count_ranks() {
  local hosts=${OMPI_MCA_orte_default_hostfile:-}
  if [[ -n $hosts ]]; then
    awk -F 'slots=' '{ sum += $2 } END { print sum }' "$hosts"
  else
    count_cores
  fi
}

prepare_mpi() {
  ranks=$(count_ranks)
  launch=(mpirun -n "$ranks")
  if [[ -n ${HWLOC_XMLFILE:-} ]]; then
    launch+=(--map-by core --bind-to core) # hwloc shows Open MPI the HPC part only
  else
    launch+=(--bind-to none --oversubscribe) # the part's own mask holds the ranks
  fi
  say "LAMMPS runs with $ranks rank(s) on $nodes node(s), here on CPUs $CONODE_JOB_HPC_CPUS"
}

random_size() {
  local span=$((max_size - min_size + 1))
  x=$((min_size + RANDOM % span))
  y=$((min_size + RANDOM % span))
  z=$((min_size + RANDOM % span))
}

# Runs LAMMPS for $x $y $z; sets $seconds, its wall time with mpirun's own, and $id.
simulate() { # KIND NUMBER
  local begin end log=$output/lammps.log loop
  begin=${EPOCHREALTIME/[^0-9]/}
  "${launch[@]}" "$here/rank.sh" "$output/ranks.txt" lmp -in "$here/in.melt" -log "$log" \
    -screen none -var x "$x" -var y "$y" -var z "$z" -var steps "$steps" \
    >"$output/mpirun.log" 2>&1 </dev/null || {
    tail -n 20 "$output/mpirun.log" >&2
    fail "LAMMPS failed for a box of $x x $y x $z" "see $output/mpirun.log and $log"
  }
  end=${EPOCHREALTIME/[^0-9]/}
  loop=$(awk '/^Loop time of/ { print $4 }' "$log")
  [[ -n $loop ]] || fail "LAMMPS did not end its run for $x x $y x $z" "see $log"
  seconds=$(awk -v us="$((end - begin))" 'BEGIN { printf "%.4f", us / 1e6 }')
  id=$started-$1-$2
  printf '%s,%s,%s,%s,%s,%s,%s,%s\n' "$1" "$x" "$y" "$z" "$((4 * x * y * z))" "$seconds" "$loop" \
    "$id" >>"$output/samples.csv"
}

train() {
  local i
  for ((i = 1; i <= runs; i++)); do
    random_size
    simulate train "$i"
    post /train "{\"id\": \"$id\", \"x\": $x, \"y\": $y, \"z\": $z, \"seconds\": $seconds}" >/dev/null
    say "$(printf 'run %*d/%d  %2d x %2d x %2d  %6d atoms  %7.2f s' ${#runs} "$i" "$runs" \
      "$x" "$y" "$z" $((4 * x * y * z)) "$seconds")"
  done
}

# The replicas keep their samples in memory; what one has missed it gets again.
complete_samples() {
  local known
  known=$(samples_known)
  if ((known < samples_before + runs)); then
    say "a replica has lost samples (its pod was restarted): it knows $known; sending all again"
    post /train "$(python3 "$here/report.py" samples "$output")" >/dev/null
  else
    say "each of $nodes replica(s) knows all $known samples"
  fi
}

predict() {
  local i sizes=() list=""
  for ((i = 0; i < held_out; i++)); do
    random_size
    sizes+=("$x $y $z")
    list+="${list:+, }{\"x\": $x, \"y\": $y, \"z\": $z}"
  done
  post /predict "[$list]" >"$output/predictions.json" # before any of them is measured
  for ((i = 0; i < held_out; i++)); do
    read -r x y z <<<"${sizes[i]}"
    simulate held_out "$((i + 1))"
    say "$(printf 'held out %*d/%d  %2d x %2d x %2d  %6d atoms  %7.2f s' ${#held_out} \
      $((i + 1)) "$held_out" "$x" "$y" "$z" $((4 * x * y * z)) "$seconds")"
  done
}

report() {
  python3 "$here/report.py" results "$output" "$ranks" "$steps" "$seed"
  if command -v gnuplot >/dev/null; then
    (cd "$output" && gnuplot "$here/prediction.gnuplot") ||
      fail "gnuplot could not draw prediction.png" "the numbers are in $output/results.csv"
    echo "results: $output/{results.json,results.csv,prediction.png}"
  else
    echo "results: $output/{results.json,results.csv}"
    echo "no plot: gnuplot is missing (sudo apt-get install gnuplot-nox)"
  fi
}

main() {
  read_arguments "$@"
  if $check; then return; fi
  check_place
  RANDOM=$seed
  deploy
  prepare_mpi
  train
  complete_samples
  predict
  say "done"
  report
}

main "$@"
