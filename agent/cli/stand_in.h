// SPDX-License-Identifier: Apache-2.0
// The process that stays where the batch system has put us when the agent moves to a delegated
// cgroup beside it: Slurm signals the processes of a task's own cgroup, and none below or beside
// it.
#pragma once

#include "agent/base/result.h"

namespace conode::cli {

// Forks where the delegated cgroup is another one than ours, else does nothing. Returns in the
// child, which is to be the agent; it gets SIGTERM when the parent is killed. The parent stays,
// passes signals on that were sent to it, and ends as the child does. Before there are threads.
[[nodiscard]] Result<void> leave_stand_in();

}  // namespace conode::cli
