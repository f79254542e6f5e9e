// SPDX-License-Identifier: Apache-2.0
// What no single key can tell.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/config/config.h"

namespace conode::config {

// Contradictions between keys that are fine each for itself. `sources` says where values came from.
[[nodiscard]] std::vector<Problem> relation_problems(
    const Config& config, const std::map<std::string, std::string>& sources);

}  // namespace conode::config
