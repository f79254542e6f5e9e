// SPDX-License-Identifier: Apache-2.0
// What the jobs of one user share in a delegated root: which controllers it gives to its children,
// and the leaf conode-home for processes that sat in the root itself (a cgroup with controllers
// enabled for its children must have none: "No Internal Process Constraint", cgroup-v2.rst).
#pragma once

#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "cgroup/cgroup.h"

namespace conode {

inline constexpr const char* kHomeName = "conode-home";
inline constexpr const char* kJobPrefix = "conode.";

// One agent at a time changes the root, by flock(2) on the directory; it goes with the object and
// with the process. Blocks: holders are done in milliseconds and never wait for processes to end.
class SharedRoot {
 public:
  // `root` must outlive the object.
  [[nodiscard]] static Result<SharedRoot> lock(const Cgroup& root);

  // Every controller that the root has, for its children. Processes in the root go to conode-home.
  [[nodiscard]] Result<EnabledControllers> enable_controllers() const;

  // When no job is left: undoes enable_controllers, where it made conode-home. Succeeds without
  // effect while other directories use the controllers.
  [[nodiscard]] Result<void> settle() const;

  // Out of a directory below: to the root, or where that takes no process to conode-home.
  [[nodiscard]] Result<void> take_in(pid_t pid) const;

  // conode-home, made where it is absent.
  [[nodiscard]] Result<Cgroup> home() const;

 private:
  SharedRoot(const Cgroup& root, UniqueFd locked) : root_(&root), locked_(std::move(locked)) {}

  const Cgroup* root_;
  UniqueFd locked_;
};

}  // namespace conode
