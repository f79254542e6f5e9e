// SPDX-License-Identifier: Apache-2.0
// The process that stays where the batch system has put us when we move to a delegated
// cgroup beside it: Slurm signals the processes of a task's own cgroup, and none below or beside
// it.
#pragma once

#include "agent/base/result.h"

namespace conode::cli {

// Forks where the delegated cgroup is another one than ours, else does nothing. Returns in the
// child, which is to move; it gets `last_signal` when the parent is killed. The parent stays,
// passes signals on that were sent to it, and ends with the child's exit code. Before there are
// threads.
[[nodiscard]] Result<void> leave_stand_in(int last_signal);

}  // namespace conode::cli
