// SPDX-License-Identifier: Apache-2.0
// `conode sweep` in the name of a job's user: what he has left in his own directories is removed
// with his own rights, and nobody else's.
//
// Theory of operation: from its exec on, the program is the user's own process: where the host
// lets users trace their processes (kernel.yama.ptrace_scope = 0), another job of his can make it
// do anything. So it gets nothing that is worth having: a cgroup of its own below the hook's, of
// which all processes are killed when the program has ended or its time is over, and a pipe that
// nobody waits for the end of, instead of the batch system's descriptors.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "agent/base/result.h"

namespace conode::hook {

struct SweepOutcome {
  std::string said;        // both streams, the first 4 KiB, in one line
  bool contained = false;  // false: there is no cgroup v2 to hold it in
};

// Runs `program sweep --job JOB` as that user, with no other group, an environment of its own and
// nothing of ours open; ends it after `patience`. Fails where it does not end with 0, with what it
// said. The caller has one thread and does not ignore SIGCHLD.
[[nodiscard]] Result<SweepOutcome> sweep_as_user(const std::string& program, const std::string& job,
                                                 uid_t user, gid_t group,
                                                 std::chrono::milliseconds patience);

}  // namespace conode::hook
