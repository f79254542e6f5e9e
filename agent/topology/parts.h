// SPDX-License-Identifier: Apache-2.0
// Private to this folder: what follows from the CPUs of the two parts. Pure.
#pragma once

#include "agent/topology/plan.h"
#include "agent/topology/topology.h"

namespace conode {

// The CPUs of a part of the topology: `cores` are Core::index.
[[nodiscard]] CpuSet cpus_of(const Topology& topology, const std::vector<int>& cores);

// Cores and NUMA nodes of both parts, from their CPUs.
void count_cores(const Topology& topology, Plan& plan);

// Network interfaces to both; GPUs and fabric to MPI, or, without `for_mpi`, GPUs to the part that
// has more CPUs near to them; all to Kubernetes where there is no HPC part.
void give_devices(const Topology& topology, bool for_mpi, Plan& plan);

// What every shared plan says.
[[nodiscard]] std::string shared_core_warning(const Topology& topology);

}  // namespace conode
