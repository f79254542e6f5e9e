// SPDX-License-Identifier: Apache-2.0
#include "cgroup/job_cgroups.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>

#include "cgroup/shared_root.h"

namespace conode {
namespace {

constexpr size_t kLongestJobId = 64;

bool is_name(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kLongestJobId &&
         std::all_of(text.begin(), text.end(), allowed);
}

bool has_required(const std::vector<std::string>& names) {
  return std::all_of(kRequiredControllers.begin(), kRequiredControllers.end(), [&](auto required) {
    return std::find(names.begin(), names.end(), required) != names.end();
  });
}

// Empty where the root has everything that level `controllers` needs.
std::vector<Error> not_offered(const Cgroup& root, const std::vector<std::string>& offered) {
  std::vector<Error> missing;
  for (const std::string_view name : kRequiredControllers)
    if (std::find(offered.begin(), offered.end(), name) == offered.end())
      missing.push_back(
          failure(fmt::format("cgroup '{}' does not have the controller '{}'", root.path(), name),
                  "delegate it: enable it in cgroup.subtree_control of every directory above")
              .value());
  return missing;
}

void append(std::vector<Error>& to, const std::vector<Error>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

Result<Cgroup> child_of(const Cgroup& parent, const std::string& name) {
  TRY(parent.create(name));
  return parent.open_child(name);
}

// The job's directory, empty of processes.
Result<Cgroup> job_directory(const Cgroup& root, const std::string& job_id) {
  const std::string name = kJobPrefix + job_id;
  const bool made = TRY(root.create(name));
  Cgroup job = TRY(root.open_child(name));
  if (!made && TRY(job.populated())) {
    const std::vector<pid_t> pids = TRY(job.subtree_processes());
    return failure(
        fmt::format("cgroup '{}' already has processes: {}", job.path(), fmt::join(pids, " ")),
        fmt::format("end the other agent of job '{}' on this node, or run: conode sweep", job_id));
  }
  return job;
}

// The children, and for them the controllers; `grouped` where a required one does not take.
Result<JobCgroups> fill(Cgroup job, EnforcementLevel level, std::vector<Error> missing) {
  if (level == EnforcementLevel::controllers) {
    const EnabledControllers on = TRY(job.enable(TRY(job.controllers())));
    append(missing, on.refused);
    if (!has_required(on.took)) level = EnforcementLevel::grouped;
  }
  Cgroup agent = TRY(child_of(job, "agent"));
  Cgroup hpc = TRY(child_of(job, "hpc"));
  Cgroup k8s = TRY(child_of(job, "k8s"));
  return JobCgroups{level,          std::move(job), std::move(agent),
                    std::move(hpc), std::move(k8s), std::move(missing)};
}

Result<JobCgroups> make(const Cgroup& root, const SharedRoot& shared, const std::string& job_id,
                        EnforcementLevel level) {
  std::vector<Error> missing;
  if (level == EnforcementLevel::controllers) missing = not_offered(root, TRY(root.controllers()));
  if (!missing.empty()) level = EnforcementLevel::grouped;
  if (level == EnforcementLevel::controllers) {
    const EnabledControllers on = TRY(shared.enable_controllers());
    append(missing, on.refused);
    if (!has_required(on.took)) {
      level = EnforcementLevel::grouped;
      TRY(shared.settle());
    }
  }
  Cgroup job_root = TRY(job_directory(root, job_id));
  Result<JobCgroups> made = fill(std::move(job_root), level, std::move(missing));
  if (!made)  // nothing of a failed attempt stays
    if (const Result<Cgroup> job = root.open_child(kJobPrefix + job_id)) (void)job->remove();
  return made;
}

Result<void> leave(const Cgroup& job, const Cgroup& root) {
  const std::vector<pid_t> pids = TRY(job.subtree_processes());
  if (!std::binary_search(pids.begin(), pids.end(), ::getpid())) return {};
  return TRY(SharedRoot::lock(root)).take_in(::getpid());
}

Result<void> end_processes(const Cgroup& job, std::chrono::milliseconds timeout) {
  TRY(job.kill());
  if (TRY(job.wait_empty(timeout))) return {};
  const std::vector<pid_t> pids = TRY(job.subtree_processes());
  return failure(fmt::format("cgroup '{}': processes still there {} ms after SIGKILL: {}",
                             job.path(), timeout.count(), fmt::join(pids, " ")),
                 "look for state D in ps: a hanging file system or device holds them");
}

}  // namespace

Result<JobCgroups> JobCgroups::create(const Delegation& delegation, const std::string& job_id,
                                      EnforcementLevel wanted) {
  const std::string step = fmt::format("create the cgroups of job '{}'", job_id);
  if (!is_name(job_id))
    return failure(step + ": not a usable name",
                   fmt::format("use at most {} letters, digits, '.', '_', '-'", kLongestJobId));
  if (wanted == EnforcementLevel::affinity)
    return failure(step + ": enforcement level 'affinity' has none");
  const Cgroup root = TRY_AS(step, Cgroup::open(delegation.path));
  const SharedRoot shared = TRY_AS(step, SharedRoot::lock(root));
  Result<JobCgroups> made = make(root, shared, job_id, wanted);
  if (made) return made;
  (void)shared.settle();
  return Failure(std::move(made.error()).wrap(step));
}

Result<std::string> JobCgroups::home(const Delegation& delegation) {
  const Cgroup root = TRY(Cgroup::open(delegation.path));
  return TRY(TRY(SharedRoot::lock(root)).home()).path();
}

std::string JobCgroups::path_of(const Delegation& delegation, const std::string& job_id) {
  return fmt::format("{}/{}{}", delegation.path, kJobPrefix, job_id);
}

Result<void> JobCgroups::remove(const std::string& path, std::chrono::milliseconds timeout) {
  const std::string step = fmt::format("remove cgroup '{}'", path);
  const size_t slash = path.rfind('/');
  // A damaged record must not make us kill everything below, say, /sys/fs/cgroup.
  if (!path.starts_with('/') || slash == 0 ||
      !std::string_view(path).substr(slash + 1).starts_with(kJobPrefix))
    return failure(fmt::format("{}: not a directory of ours ('{}<job>')", step, kJobPrefix));
  const auto absent = [](const Error& e) { return e.is(std::errc::no_such_file_or_directory); };
  Result<Cgroup> root = Cgroup::open(path.substr(0, slash));
  if (!root && absent(root.error())) return {};
  if (!root) return Failure(std::move(root.error()).wrap(step));

  Result<Cgroup> job = root->open_child(path.substr(slash + 1));
  if (!job && !absent(job.error())) return Failure(std::move(job.error()).wrap(step));
  if (job) {
    TRY_AS(step, leave(*job, *root));
    TRY_AS(step, end_processes(*job, timeout));
    TRY(job->remove());
  }
  return TRY_AS(step, SharedRoot::lock(*root)).settle();
}

}  // namespace conode
