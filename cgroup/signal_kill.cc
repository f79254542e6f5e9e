// SPDX-License-Identifier: Apache-2.0
#include "cgroup/signal_kill.h"

#include <fmt/format.h>

#include <csignal>
#include <set>

namespace conode {
namespace {

// Until a pass finds nobody new.
Result<void> signal_all(const Cgroup& cgroup) {
  std::set<pid_t> signaled;
  for (bool found = true; found;) {
    found = false;
    for (const pid_t pid : TRY(cgroup.subtree_processes())) {
      if (pid == 0)
        return failure(fmt::format(
            "kill cgroup '{}': a process outside of this PID namespace is in it", cgroup.path()));
      if (!signaled.insert(pid).second) continue;
      found = true;
      if (::kill(pid, SIGKILL) != 0 && errno != ESRCH)
        return errno_failure(fmt::format("kill process {} of cgroup '{}'", pid, cgroup.path()));
    }
  }
  return {};
}

}  // namespace

Result<void> kill_by_signal(const Cgroup& cgroup) {
  // Without cgroup.freeze (before 5.2), or frozen too slowly: the passes race with forks, and win
  // except against a fork bomb; wait_empty() tells.
  (void)cgroup.freeze(std::chrono::milliseconds(500));
  Result<void> result = signal_all(cgroup);
  (void)cgroup.thaw();
  return result;
}

}  // namespace conode
