// SPDX-License-Identifier: Apache-2.0
// The cgroup that a batch system has made for a job, and the part of it that its user may have:
// <job's directory>/conode, beside the cgroups of its steps. One thread, as root.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "cgroup/cgroup.h"
#include "cgroup/hierarchy.h"

namespace conode::hook {

struct JobCgroup {
  std::string path;  // absolute
  std::string name;  // its last component, by which it was found
};

// Looks upwards from the cgroup of `pid` (0: the caller) for a directory with one of the `names`
// ("job_17", Slurm's SLUID). Fails where there is none, so that nothing but a job's own directory
// is ever given away, whoever has got the pid meanwhile.
[[nodiscard]] Result<JobCgroup> find_job_cgroup(const CgroupHierarchy& hierarchy, pid_t pid,
                                                const std::vector<std::string>& names,
                                                const std::string& proc = "/proc");

// Who may use it, and what of it.
struct Delegate {
  JobCgroup job;
  uid_t user = 0;
};

// Every step that would be taken, a line each.
[[nodiscard]] std::string describe(const Delegate& wanted);

// Makes it, or completes what a killed hook has left. Fails where the directory of the job, or one
// that is there already, is somebody else's. Controllers that cannot be enabled are left out:
// `refused` says which.
struct Delegated {
  bool made = false;  // false: it was there
  std::vector<Error> refused;
};
[[nodiscard]] Result<Delegated> delegate(const Delegate& wanted);

struct Usage {
  std::chrono::microseconds cpu{0};
  std::optional<uint64_t> memory_peak;  // bytes; absent where the kernel does not say (before 5.19)
};

// Kills who is left in `<job>/conode` and removes it, then the job's directory if nothing else is
// in it. Empty: there was none. Blocks at most `patience`.
[[nodiscard]] Result<std::optional<Usage>> take_back(const std::string& job_path,
                                                     std::chrono::milliseconds patience);

}  // namespace conode::hook
