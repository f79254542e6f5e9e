// SPDX-License-Identifier: Apache-2.0
// Private to this folder: which memory of which NUMA node each part gets. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/topology/plan.h"
#include "agent/topology/topology.h"

namespace conode {

// What the allocation may use of each NUMA node: less than its size where a limit is lower.
[[nodiscard]] std::vector<NodeMemory> usable_memory(const Topology& topology);

// Fills the memory of plan.k8s and plan.hpc, whose CPUs are chosen, in proportion to the cores, or
// as `request` says. A shared plan divides by the requested share, else by half.
[[nodiscard]] Result<void> split_memory(const Topology& topology, const PlanRequest& request,
                                        Plan& plan);

// Gives Kubernetes these amounts and the HPC part the rest; `k8s` is no more than there is.
void give_memory(const std::vector<NodeMemory>& usable, const std::vector<NodeMemory>& k8s,
                 Plan& plan);

// "62.8 GiB", "512 MiB"
[[nodiscard]] std::string bytes_text(uint64_t bytes);

}  // namespace conode
