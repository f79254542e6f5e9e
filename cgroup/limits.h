// SPDX-License-Identifier: Apache-2.0
// What a cgroup and those above it allow. Any thread.
#pragma once

#include <string>

#include "agent/base/result.h"
#include "cgroup/hierarchy.h"
#include "cgroup/values.h"

namespace conode {

// The least `value` of `directory` (absolute, below the hierarchy's mount) and of those above it
// that are visible; empty where none has one. What cannot be read does not limit.
[[nodiscard]] Limit least_limit(const CgroupHierarchy& hierarchy, std::string directory,
                                const Value<Limit>& value);

// Bytes; the caller's memory.max. Empty also where this machine shows no version 2 cgroup of his.
[[nodiscard]] Limit own_memory_limit();

// Processes and threads that all of `directory` may be: by pids.max, and by the kernel's
// kernel.pid_max and kernel.threads-max below `proc`. Empty where nothing can be read.
[[nodiscard]] Limit task_limit(const CgroupHierarchy& hierarchy, const std::string& directory,
                               const std::string& proc = "/proc");

}  // namespace conode
