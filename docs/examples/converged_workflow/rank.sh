#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Becomes one MPI rank, after writing down the CPUs that the kernel lets it run on, and its node's parts:
#   rank.sh FILE COMMAND [ARGUMENT...]    appends a line "HOST RANK CPUS HPC-CPUS K8S-CPUS" to FILE
set -euo pipefail
file=$1
shift
cpus=$(awk '$1 == "Cpus_allowed_list:" { print $2 }' /proc/self/status)
printf '%s %s %s %s %s\n' "$(uname -n)" "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}" "$cpus" \
  "$CONODE_JOB_HPC_CPUS" "$CONODE_JOB_K8S_CPUS" >>"$file"
exec "$@"
