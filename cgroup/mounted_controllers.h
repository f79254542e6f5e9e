// SPDX-License-Identifier: Apache-2.0
// Which controllers are mounted where, by libcgroup (included in mounted_controllers.cc only).
//
// Why libcgroup for this and no more: its table of mounts is right for v1 and v2 alike. But 2.0.2
// - skips a cgroup2 mount whose cgroup.controllers is empty, and knows neither a mount's root (a
//   bind mount or a cgroup namespace shows a sub-tree) nor another proc than /proc: hierarchy.cc
//   asks /proc/self/mountinfo for these;
// - reads and writes values by (controller, path), built anew from the mount table each time; it
//   has no answer for a hierarchy without controllers (cgroup.procs of a `grouped` directory),
//   and a path can come to name another directory where our O_PATH handle cannot (cgroup.h);
// - writes cgroup.subtree_control from the mount point down when it creates a group, which an
//   ordinary user may not (fixed in 3.2.0, issue 351).
#pragma once

#include <string>
#include <vector>

#include "agent/base/result.h"

namespace conode {

struct MountedController {
  std::string name;         // "memory"; "name=systemd" for a named v1 hierarchy
  std::string mount_point;  // "/sys/fs/cgroup/unified"
};

// Of the calling process's mount namespace; empty where no hierarchy with a controller is mounted.
// libcgroup fills process-wide tables: not to be called by two threads at the same time.
[[nodiscard]] Result<std::vector<MountedController>> mounted_controllers();

}  // namespace conode
