#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Becomes one MPI rank, after writing down the CPUs that the kernel lets it run on:
#   rank.sh FILE COMMAND [ARGUMENT...]    appends a line "HOST RANK CPUS" to FILE
set -euo pipefail
file=$1
shift
cpus=$(awk '$1 == "Cpus_allowed_list:" { print $2 }' /proc/self/status)
printf '%s %s %s\n' "$(uname -n)" "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}" "$cpus" >>"$file"
exec "$@"
