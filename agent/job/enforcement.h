// SPDX-License-Identifier: Apache-2.0
// The level at which a job's partition is kept on this node, and its cgroups. Blocking; any thread.
#pragma once

#include <optional>
#include <string>

#include "agent/base/result.h"
#include "agent/job/node_agent.h"
#include "cgroup/delegation.h"
#include "cgroup/enforcement.h"
#include "cgroup/values.h"

namespace conode::job {

struct Enforced {
  EnforcementLevel level = EnforcementLevel::affinity;
  std::string reason;      // why not a higher one
  std::string job_cgroup;  // paths; empty: none
  std::string agent_cgroup;
  std::string hpc_cgroup;
  std::string k8s_cgroup;
  Limit part_tasks;  // processes and threads that each part may be; empty: no limit of ours
};

// What was delegated to us, unless level `affinity` is wanted.
[[nodiscard]] Result<std::optional<Delegation>> usable_delegation(const AgentOptions& options);

// Makes the job's cgroups for the highest level that this node gives, or fails where that is not
// the one asked for. At level `controllers` the parts' cores, memory and tasks are limited.
[[nodiscard]] Result<Enforced> enforce(const AgentOptions& options,
                                       const std::optional<Delegation>& delegation,
                                       const std::string& cgroup_name);

}  // namespace conode::job
