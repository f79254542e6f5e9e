// SPDX-License-Identifier: Apache-2.0
// Private to this folder: which cores Kubernetes gets. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/topology/topology.h"

namespace conode {

struct CoreChoice {
  std::vector<int> cores;  // Core::index, ascending
  std::vector<std::string> notes;
};

// `count` of the topology's cores (1 to all of them) by the rules at the top of plan.h.
[[nodiscard]] CoreChoice choose_cores(const Topology& topology, int count, bool avoid_devices);

}  // namespace conode
