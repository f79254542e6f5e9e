// SPDX-License-Identifier: Apache-2.0
// A job of OpenPBS or PBS Professional, from inside (qsub(1B), qstat(1B)).
#pragma once

#include "agent/allocation/allocation.h"

namespace conode::allocation {

// Fills in `found`. Refuses callers that are on none of the job's nodes.
[[nodiscard]] Result<void> look_at_pbs(const Surroundings& around, Allocation& found);

// "HH:MM:SS", also without hours, in seconds.
[[nodiscard]] std::optional<std::chrono::seconds> parse_pbs_duration(const std::string& text);

}  // namespace conode::allocation
