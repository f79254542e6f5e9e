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

// What a batch hook makes in the directory of a job, beside those of its steps.
inline constexpr const char* kDelegatedName = "conode";

struct Delegation {
  std::string path;                      // absolute directory: the delegated root
  std::vector<std::string> controllers;  // that its children can have
  bool may_enable = false;               // its cgroup.subtree_control is writable by us
  bool elsewhere = false;                // the caller is not in it, but may move into it

  [[nodiscard]] bool offers(std::string_view controller) const;
  // The best that can be made of it. JobCgroups::create may still find less.
  [[nodiscard]] EnforcementLevel level() const;
};

// Walks up from the cgroup of `pid` (0: the caller) while the directory and its cgroup.procs are
// writable by the caller; the topmost such one is the delegated root. Where the own one is not
// writable: the caller's kDelegatedName in a directory above whose cgroup.procs is, which moving
// there asks for (cgroup-v2.rst, "Delegation Containment"). Empty where there is neither.
// Write permission tells root nothing, it has it everywhere: as root only the own cgroup counts.
[[nodiscard]] Result<std::optional<Delegation>> find_delegation(const CgroupHierarchy& hierarchy,
                                                                pid_t pid = 0,
                                                                const std::string& proc = "/proc");

// The same for the hierarchy of this machine; also empty where it has none.
[[nodiscard]] Result<std::optional<Delegation>> find_delegation();

}  // namespace conode
