// SPDX-License-Identifier: Apache-2.0
// The cgroup that a batch system has made for a job, and the part of it that its user may have:
// <job's directory>/conode, beside the cgroups of its steps. One thread, as root.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "cgroup/cgroup.h"
#include "cgroup/hierarchy.h"

namespace conode::hook {

// The form of Slurm's SLUID ("sEKNKTV3WPV500"), which names a job's cgroup from 26.05 on. Nothing
// else in the tree is called like that: no slice, scope, service or "system".
[[nodiscard]] bool is_sluid(std::string_view name);

// The uppermost limits of a delegated directory, root's to set: its user must not be able to make
// clean-up long. A node's pods take about five for each.
inline constexpr const char* kMaxDepth = "32";
inline constexpr const char* kMaxDescendants = "16384";

struct JobCgroup {
  std::string path;  // absolute
  std::string name;  // its last component, by which it was found
};

// The nearest directory at or above `cgroup` ("/a/b", as /proc/<pid>/cgroup has it) whose name is
// one of the `names`.
[[nodiscard]] std::optional<std::string> job_directory(const std::string& cgroup,
                                                       const std::vector<std::string>& names);

// Looks upwards from the cgroup of `pid` (0: the caller) for a directory with one of the `names`
// ("job_17", Slurm's SLUID). Fails where there is none, so that nothing but a job's own directory
// is ever given away, whoever has got the pid meanwhile.
[[nodiscard]] Result<JobCgroup> find_job_cgroup(const CgroupHierarchy& hierarchy, pid_t pid,
                                                const std::vector<std::string>& names,
                                                const std::string& proc = "/proc");

// What holds the cgroups of jobs whose batch system makes none.
inline constexpr const char* kOwnJobs = "conode_jobs";
[[nodiscard]] bool is_own_job(const std::string& path);

// Where the job called `name` has its own: <parent>/conode_jobs/<name>; `parent` as
// /proc/<pid>/cgroup has it. Makes nothing. Fails where this machine does not show `parent`.
[[nodiscard]] Result<JobCgroup> own_job_cgroup(const CgroupHierarchy& hierarchy,
                                               const std::string& parent, const std::string& name);

// Makes it, or finds it as an earlier call has left it, and moves the process `pid` into its child
// `task`: the job's shell, or that of a task on another node, before its program begins.
[[nodiscard]] Result<void> put_into_own(const JobCgroup& job, pid_t pid);

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

// Kills who is left in `<job>/conode` and removes it, then the directories of steps in which
// nobody is, and the job's if nothing else is in it; of a job in kOwnJobs all goes. Empty: there
// was none. Blocks at most `patience`.
[[nodiscard]] Result<std::optional<Usage>> take_back(const std::string& job_path,
                                                     std::chrono::milliseconds patience);

}  // namespace conode::hook
