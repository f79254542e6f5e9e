// SPDX-License-Identifier: Apache-2.0
#include "cgroup/delegation.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "cgroup/cgroup.h"

namespace conode {
namespace {

bool may_write(const std::string& path, int mode = W_OK) {
  return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
}

bool delegated(const std::string& directory) {
  return may_write(directory, W_OK | X_OK) && may_write(directory + "/cgroup.procs");
}

}  // namespace

bool Delegation::offers(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

EnforcementLevel Delegation::level() const {
  const bool all = std::all_of(kRequiredControllers.begin(), kRequiredControllers.end(),
                               [&](std::string_view name) { return offers(name); });
  return all && may_enable ? EnforcementLevel::controllers : EnforcementLevel::grouped;
}

Result<std::optional<Delegation>> find_delegation(const CgroupHierarchy& hierarchy, pid_t pid,
                                                  const std::string& proc) {
  const std::optional<std::string> own = TRY(cgroup_of(pid, proc));
  const std::optional<std::string> start = own ? hierarchy.directory(*own) : std::nullopt;
  if (!start || !delegated(*start)) return std::nullopt;
  std::string top = *start;
  while (::geteuid() != 0 && top.size() > hierarchy.mount.size()) {
    const std::string parent = top.substr(0, top.rfind('/'));
    if (!delegated(parent)) break;
    top = parent;
  }
  const Cgroup root = TRY(Cgroup::open(top));
  return Delegation{.path = top,
                    .controllers = TRY(root.controllers()),
                    .may_enable = may_write(top + "/cgroup.subtree_control")};
}

Result<std::optional<Delegation>> find_delegation() {
  const std::optional<CgroupHierarchy> hierarchy = TRY(find_hierarchy());
  if (!hierarchy) return std::nullopt;
  return find_delegation(*hierarchy);
}

}  // namespace conode
