// SPDX-License-Identifier: Apache-2.0
#include "agent/job/enforcement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cgroup/job_cgroups.h"
#include "cgroup/limits.h"

namespace conode::job {
namespace {

Result<void> limit(const Cgroup& cgroup, const EnforcedPart& part, const Limit& tasks) {
  TRY(cgroup.write(value::kPidsMax, tasks));
  if (part.cpus.empty()) return {};
  TRY(cgroup.write(value::kCpusetCpus, part.cpus));
  if (!part.memory_nodes.empty()) TRY(cgroup.write(value::kCpusetMems, part.memory_nodes));
  return cgroup.write(value::kMemoryMax, part.memory);
}

// Half of what there may be, so that neither part keeps the other one from making any.
Result<Limit> tasks_of_a_part(const std::string& delegated) {
  const std::optional<CgroupHierarchy> hierarchy = TRY(find_hierarchy());
  if (!hierarchy) return Limit{};
  Limit tasks = task_limit(*hierarchy, delegated);
  if (tasks) *tasks /= 2;
  return tasks;
}

std::string why_not_controllers(const Delegation& delegation, const JobCgroups& cgroups) {
  if (!cgroups.missing.empty()) return cgroups.missing.front().message();
  if (!delegation.may_enable)
    return fmt::format("'{}/cgroup.subtree_control' is not writable by you", delegation.path);
  return fmt::format("'{}' offers only [{}]", delegation.path,
                     fmt::join(delegation.controllers, " "));
}

}  // namespace

Result<std::optional<Delegation>> usable_delegation(const AgentOptions& options) {
  if (options.wanted_enforcement == to_string(EnforcementLevel::affinity))
    return std::optional<Delegation>{};
  return find_delegation();
}

Result<Enforced> enforce(const AgentOptions& options, const std::optional<Delegation>& delegation,
                         const std::string& cgroup_name) {
  const auto wanted = enforcement_from_string(options.wanted_enforcement);  // empty: auto
  Enforced result;
  if (wanted == EnforcementLevel::affinity) return result;
  result.reason = "no delegated cgroup v2 directory (a batch hook of conode would give one)";
  if (delegation) {
    const JobCgroups cgroups =
        TRY(JobCgroups::create(*delegation, cgroup_name, wanted.value_or(delegation->level())));
    result.level = cgroups.level;
    result.reason.clear();
    if (result.level != EnforcementLevel::controllers)
      result.reason = why_not_controllers(*delegation, cgroups);
    result.job_cgroup = cgroups.job.path();
    result.agent_cgroup = cgroups.agent.path();
    result.hpc_cgroup = cgroups.hpc.path();
    result.k8s_cgroup = cgroups.k8s.path();
    if (result.level == EnforcementLevel::controllers) {
      result.part_tasks = TRY(tasks_of_a_part(delegation->path));
      TRY(limit(cgroups.hpc, options.hpc, result.part_tasks));
      TRY(limit(cgroups.k8s, options.k8s, result.part_tasks));
    }
  }
  if (wanted && result.level != *wanted)
    return failure(
        fmt::format("enforce at level '{}': {}", options.wanted_enforcement, result.reason),
        "take --enforcement auto, or let the site delegate a cgroup ('conode doctor')");
  return result;
}

}  // namespace conode::job
