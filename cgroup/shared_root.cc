// SPDX-License-Identifier: Apache-2.0
#include "cgroup/shared_root.h"

#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>

#include "agent/base/file.h"

namespace conode {
namespace {

// Until `from` is empty; they may fork meanwhile.
Result<void> move_processes(const Cgroup& from, const Cgroup& to) {
  constexpr int kRounds = 100;
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<pid_t> pids = TRY(from.processes());
    if (pids.empty()) return {};
    for (const pid_t pid : pids) {
      if (pid == 0)
        return failure(
            fmt::format("empty cgroup '{}': a process outside of this PID namespace is in it",
                        from.path()),
            "start conode in the PID namespace of the batch job");
      Result<void> moved = to.attach(pid);
      if (!moved && !moved.error().is(std::errc::no_such_process))
        return Failure(
            std::move(moved.error()).wrap(fmt::format("empty cgroup '{}'", from.path())));
    }
  }
  return failure(fmt::format("empty cgroup '{}': processes keep appearing in it", from.path()));
}

}  // namespace

Result<SharedRoot> SharedRoot::lock(const Cgroup& root) {
  UniqueFd fd = TRY_AS(fmt::format("lock cgroup '{}'", root.path()),
                       open_at(root.fd(), ".", O_RDONLY | O_DIRECTORY));
  while (::flock(fd.get(), LOCK_EX) != 0)
    if (errno != EINTR) return errno_failure(fmt::format("lock cgroup '{}'", root.path()));
  return SharedRoot(root, std::move(fd));
}

Result<Cgroup> SharedRoot::home() const {
  TRY(root_->create(kHomeName));
  return root_->open_child(kHomeName);
}

Result<EnabledControllers> SharedRoot::enable_controllers() const {
  const std::vector<std::string> there = TRY(root_->enabled());
  EnabledControllers result{.took = there, .refused = {}};
  std::vector<std::string> wanted;
  for (const std::string& name : TRY(root_->controllers()))
    if (std::find(there.begin(), there.end(), name) == there.end()) wanted.push_back(name);
  if (wanted.empty()) return result;
  // The hierarchy's own root has no cgroup.type and may keep its processes. With anything enabled
  // already there can be none; then conode-home is not made, and settle() will change nothing.
  if (there.empty() && exists("cgroup.type", root_->fd())) TRY(move_processes(*root_, TRY(home())));
  EnabledControllers more = TRY(root_->enable(wanted));
  result.took.insert(result.took.end(), more.took.begin(), more.took.end());
  result.refused = std::move(more.refused);
  return result;
}

Result<void> SharedRoot::settle() const {
  if (!exists(kHomeName, root_->fd())) return {};
  for (const std::string& name : TRY(root_->children()))
    if (name.starts_with(kJobPrefix)) return {};
  const EnabledControllers off = TRY(root_->disable(TRY(root_->enabled())));
  if (!off.refused.empty()) return {};
  const Cgroup leaf = TRY(home());
  TRY(move_processes(leaf, *root_));
  return leaf.remove();
}

Result<void> SharedRoot::take_in(pid_t pid) const {
  const Result<void> moved = root_->attach(pid);
  if (moved) return {};
  if (!moved.error().is(std::errc::device_or_resource_busy)) return Failure(Error(moved.error()));
  return TRY(home()).attach(pid);
}

}  // namespace conode
