// SPDX-License-Identifier: Apache-2.0
// How much memory a process may have by its cgroup and those above it. Any thread.
#pragma once

#include <string>

#include "agent/base/result.h"
#include "cgroup/hierarchy.h"
#include "cgroup/values.h"

namespace conode {

// The least memory.max of `directory` (absolute, below the hierarchy's mount) and of those above it
// that are visible; empty where none has one. What cannot be read does not limit.
[[nodiscard]] Limit memory_limit(const CgroupHierarchy& hierarchy, std::string directory);

// The caller's. Empty also where this machine shows no version 2 cgroup of his.
[[nodiscard]] Limit own_memory_limit();

}  // namespace conode
