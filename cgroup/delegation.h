// SPDX-License-Identifier: Apache-2.0
// The part of the cgroup v2 hierarchy that somebody with privilege gave to us: a batch hook, the
// batch system, systemd (Delegate=), or an administrator who chowned a directory with its
// cgroup.procs, cgroup.subtree_control and cgroup.threads ("Model of Delegation" in the kernel's
// Documentation/admin-guide/cgroup-v2.rst). Any thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "cgroup/enforcement.h"
#include "cgroup/hierarchy.h"

namespace conode {

struct Delegation {
  std::string path;                      // absolute directory: the delegated root
  std::vector<std::string> controllers;  // that its children can have
  bool may_enable = false;               // its cgroup.subtree_control is writable by us

  [[nodiscard]] bool offers(std::string_view controller) const;
  // The best that can be made of it. JobCgroups::create may still find less.
  [[nodiscard]] EnforcementLevel level() const;
};

// Walks up from the cgroup of `pid` (0: the caller) while the directory and its cgroup.procs are
// writable by the caller; the topmost such one is the delegated root. Empty where there is none.
// Write permission tells root nothing, it has it everywhere: as root only the own cgroup counts.
[[nodiscard]] Result<std::optional<Delegation>> find_delegation(const CgroupHierarchy& hierarchy,
                                                                pid_t pid = 0,
                                                                const std::string& proc = "/proc");

// The same for the hierarchy of this machine; also empty where it has none.
[[nodiscard]] Result<std::optional<Delegation>> find_delegation();

}  // namespace conode
