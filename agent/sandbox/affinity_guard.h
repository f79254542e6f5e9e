// SPDX-License-Identifier: Apache-2.0
// Where no cpuset controller holds the partition, the CPU affinity does, and nobody in the sandbox
// may change it: not runc (which resets the affinity of a container's first process to all CPUs of
// its cpuset), not a program in a pod.
#pragma once

#include "agent/base/result.h"

namespace conode::sandbox {

// From here on sched_setaffinity(2) fails with EPERM in this process and all its descendants, for
// ever (seccomp(2)). Needs CAP_SYS_ADMIN in the user namespace.
[[nodiscard]] Result<void> forbid_affinity_changes();

}  // namespace conode::sandbox
