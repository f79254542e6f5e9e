// SPDX-License-Identifier: Apache-2.0
// Killing a cgroup where the kernel has no cgroup.kill (before 5.14).
#pragma once

#include "agent/base/result.h"
#include "cgroup/cgroup.h"

namespace conode {

// SIGKILL to every process in `cgroup` and below. While the cgroup is frozen nobody forks and no
// pid is reused, and a frozen process of version 2 can be killed, so one pass finds all of them;
// more passes catch whoever was moved in meanwhile. Leaves the cgroup thawed.
// Fails for a process outside of our PID namespace, which has no number to signal.
[[nodiscard]] Result<void> kill_by_signal(const Cgroup& cgroup);

}  // namespace conode
