#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The converged workflow, from nothing: makes the service's image (once), starts a cluster in a part
# of this job's cores, runs workflow.sh in the rest, and takes the cluster down. As an ordinary user,
# in a batch job or on a machine of its own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here

usage() {
  cat <<USAGE
usage: run.sh [--short] [--k8s-cores N] [--nodes N | --host H...] [option of workflow.sh...]
  --short         12 runs to learn from and 4 to predict: 2 to 3 minutes on 2 cores
  --k8s-cores N   cores for Kubernetes (default 1), on each node
  --nodes N       so many nodes, made of this machine: network namespaces that share its cores
  --host H        one node more, by ssh (repeat it); same paths there
  --check         only see whether these options are understood
The program is \$CONODE, else the 'conode' on PATH, else the one built in this source tree.

$("$here/workflow.sh" --help)
USAGE
}

fail() { # WHAT REMEDY
  printf 'run: error: %s\nrun:   remedy: %s\n' "$1" "$2" >&2
  exit 1
}

find_conode() {
  local program
  for program in "${CONODE:-}" "$(command -v conode)" "$here"/../../../build/{release,dev}/bin/conode; do
    if [[ -n $program && -x $program ]]; then
      realpath "$program"
      return
    fi
    [[ -z ${CONODE:-} ]] || fail "\$CONODE ('$CONODE') is no program" "set it to conode's path"
  done
  fail "there is no conode" "install it, or build it with ./dev build, or set CONODE to its path"
}

main() {
  local k8s_cores=1 nodes=() options=() check=false image
  while [[ $# -gt 0 ]]; do
    case $1 in
      -h | --help) usage && exit 0 ;;
      --short) options=(--runs 12 --held-out 4 --max-size 20 "${options[@]}") && shift ;;
      --k8s-cores)
        [[ $# -ge 2 ]] || fail "--k8s-cores needs a number" "see: $0 --help"
        k8s_cores=$2 && shift 2
        ;;
      --nodes | --host)
        [[ $# -ge 2 ]] || fail "$1 needs a value" "see: $0 --help"
        nodes+=("$1" "$2") && shift 2
        ;;
      --check) check=true && shift ;;
      *) options+=("$1") && shift ;;
    esac
  done
  "$here/workflow.sh" --check "${options[@]}"
  if $check; then return; fi
  CONODE=$(find_conode)
  export CONODE
  image=$("$here/build_image.sh")
  exec "$CONODE" exec --k8s-cores "$k8s_cores" "${nodes[@]}" --image "$image" -- \
    "$here/workflow.sh" "${options[@]}"
}

main "$@"
