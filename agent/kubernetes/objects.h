// SPDX-License-Identifier: Apache-2.0
// The few API objects that a cluster whose DNS is a service of the node needs.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/base/result.h"
#include "agent/kubernetes/cluster.h"

namespace conode::kubernetes {

// (collection path, object as JSON), in the order of creation.
[[nodiscard]] Result<std::vector<std::pair<std::string, std::string>>> bootstrap_objects(
    const ClusterLayout& layout);

}  // namespace conode::kubernetes
