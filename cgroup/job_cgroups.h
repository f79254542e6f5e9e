// SPDX-License-Identifier: Apache-2.0
// The cgroups of one job on one node, below the delegated root:
//
//   <delegated root>/
//     conode-home/        who sat in the root before controllers were enabled (shared by all jobs)
//     conode.<job>/
//       agent/            the node agent
//       hpc/              bare-metal processes
//       k8s/              the sandbox: root of its cgroup namespace
//
// Jobs of one user may share a root: everything of a job carries its name, and what they share is
// changed under a lock (shared_root.h). Names are short because hwloc cuts long paths.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "cgroup/cgroup.h"
#include "cgroup/delegation.h"
#include "cgroup/enforcement.h"

namespace conode {

struct JobCgroups {
  EnforcementLevel level;  // what was reached: `grouped` or `controllers`
  Cgroup job;
  Cgroup agent;
  Cgroup hpc;
  Cgroup k8s;
  std::vector<Error> missing;  // controllers that were wanted and refused, each with its reason

  // Makes the directories, with the best level up to `wanted` (not `affinity`). For level
  // `controllers`: moves the processes of the root itself to conode-home, enables the controllers
  // in the root and in the job's directory; where a required one is refused the root is put back
  // as it was and the level is `grouped`. No process is moved into the job's directories.
  // Fails where `job_id` is no usable name, or where a process already is in the job's directory.
  [[nodiscard]] static Result<JobCgroups> create(const Delegation& delegation,
                                                 const std::string& job_id,
                                                 EnforcementLevel wanted);
  [[nodiscard]] static Result<JobCgroups> create(const Delegation& delegation,
                                                 const std::string& job_id) {
    return create(delegation, job_id, delegation.level());
  }

  // Where processes stay that are not of the job's directories, in a root that the caller is not in
  // itself: conode-home. It goes with the last job.
  [[nodiscard]] static Result<std::string> home(const Delegation& delegation);

  // The absolute directory `conode.<job>`.
  [[nodiscard]] static std::string path_of(const Delegation& delegation, const std::string& job_id);

  // Kills whoever is in `path` (as of path_of), waits until they have ended (at most `timeout`,
  // then a failure that names them), removes the directories depth first. After the last job
  // conode-home goes too, its processes back to the root. Needs nothing but the name, any number
  // of times, also after a kill -9 of the agent. A caller inside of `path` is moved out first.
  [[nodiscard]] static Result<void> remove(
      const std::string& path, std::chrono::milliseconds timeout = std::chrono::seconds(10));
};

[[nodiscard]] inline Result<void> remove_job_cgroups(const std::string& path) {
  return JobCgroups::remove(path);
}

}  // namespace conode
