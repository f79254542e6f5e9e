// SPDX-License-Identifier: Apache-2.0
// Private to this folder: from hwloc's objects to our plain descriptions. No function here fails;
// what hwloc does not know stays empty. Reads the hwloc topology only.
#pragma once

#include <hwloc.h>

#include <vector>

#include "agent/topology/topology.h"

namespace conode::discovery {

struct CpuObjects {
  std::vector<Core> cores;  // in hwloc's (logical) order; PUs without a core are cores themselves
  std::vector<Package> packages;
  std::vector<Cache> caches;
};

// Cores with the packages and shared caches above them. Core::numa is left to nearest_memory().
[[nodiscard]] CpuObjects cpu_objects(hwloc_topology_t topology);

[[nodiscard]] std::vector<NumaNode> numa_nodes(hwloc_topology_t topology);

// Index in `nodes` of the node with the fewest CPUs among those near to `cpus`; the first at a tie,
// which is ordinary memory before MCDRAM. 0 where none is near.
[[nodiscard]] int nearest_memory(const std::vector<NumaNode>& nodes, const CpuSet& cpus);

// GPUs, fabric and network devices, by PCI function: several operating system devices of one
// function are one device. Device::cpus is the whole locality; numa_nodes is not filled.
[[nodiscard]] std::vector<Device> devices(hwloc_topology_t topology);

// hwloc's info text or "".
[[nodiscard]] std::string info(hwloc_obj_t object, const char* name);

}  // namespace conode::discovery
