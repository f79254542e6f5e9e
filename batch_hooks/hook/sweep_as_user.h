// SPDX-License-Identifier: Apache-2.0
// `conode sweep` in the name of a job's user: what he has left in his own directories is removed
// with his own rights, and nobody else's.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "agent/base/result.h"

namespace conode::hook {

// Runs `program sweep --job JOB` as that user, with no other group, an environment of its own and
// nothing open; ends it after `patience`. Its output goes to standard error.
[[nodiscard]] Result<void> sweep_as_user(const std::string& program, const std::string& job,
                                         uid_t user, gid_t group,
                                         std::chrono::milliseconds patience);

}  // namespace conode::hook
