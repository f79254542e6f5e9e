// SPDX-License-Identifier: Apache-2.0
// Where the cgroup v2 hierarchy is and where a process sits in it. Nothing is assumed: a unified
// host has it at /sys/fs/cgroup, a hybrid one elsewhere and often without controllers, a container
// sees a sub-tree. Sources: cgroups(7), proc(5) (mountinfo, cgroup), cgroup_namespaces(7).
// Any thread; with `proc` = "/proc" not two at the same time (mounted_controllers.h).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace conode {

enum class CgroupMode {
  unified,  // version 2 only
  hybrid,   // controllers on version 1, and a version 2 hierarchy beside them
};

struct CgroupHierarchy {
  CgroupMode mode = CgroupMode::unified;
  std::string mount;                        // absolute mount point of cgroup2
  std::string root = "/";                   // the cgroup that is visible there, as mountinfo has it
  std::vector<std::string> v1_controllers;  // bound to version 1: not to be had in version 2

  // Directory of `cgroup` ("/a/b", as /proc/<pid>/cgroup has it); empty where this mount does not
  // show it (outside of the mount's root or of our cgroup namespace, or deleted).
  [[nodiscard]] std::optional<std::string> directory(std::string_view cgroup) const;
};

// Empty where no version 2 hierarchy is mounted. `proc` is another root for tests.
[[nodiscard]] Result<std::optional<CgroupHierarchy>> find_hierarchy(
    const std::string& proc = "/proc");

// Version 2 cgroup of a process (0: the caller), "/a/b"; empty where the kernel has no version 2.
[[nodiscard]] Result<std::optional<std::string>> cgroup_of(pid_t pid,
                                                           const std::string& proc = "/proc");

// Absolute directory of the caller's own cgroup. Fails where there is none to be seen.
[[nodiscard]] Result<std::string> own_cgroup_path();

}  // namespace conode
