// SPDX-License-Identifier: Apache-2.0
// Bounds the logs of a job, however long it runs: each keeps the latest 8 to 16 MiB or so, half of
// it in "NAME.log.1". As logrotate(8)'s copytruncate, because services hold their files open
// (O_APPEND); what they write between copy and truncation is lost.
#pragma once

#include <cstdint>
#include <string>

#include "agent/base/result.h"

namespace conode::job {

// Every "*.log" of `dir` that is larger than `limit` bytes. Goes on after a file that fails, and
// returns the first failure. Without space for the copy the older lines are lost.
[[nodiscard]] Result<void> rotate_logs(const std::string& dir, uint64_t limit);

}  // namespace conode::job
