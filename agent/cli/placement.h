// SPDX-License-Identifier: Apache-2.0
// Where a job's agents go: what the user has said, and where he has not, what the batch system
// gave.
#pragma once

#include <chrono>
#include <optional>

#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/launch/launcher.h"

namespace conode::cli {

struct Placement {
  launch::Options launch;
  std::optional<std::chrono::system_clock::time_point> time_limit;  // of the batch job
};

[[nodiscard]] Result<Placement> placement_of(const config::Config& config);

}  // namespace conode::cli
