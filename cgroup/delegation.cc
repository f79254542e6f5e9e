// SPDX-License-Identifier: Apache-2.0
#include "cgroup/delegation.h"

#include <fcntl.h>
#include <sys/stat.h>
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

Result<Delegation> delegation_at(const std::string& path, bool elsewhere) {
  const Cgroup root = TRY(Cgroup::open(path));
  return Delegation{.path = path,
                    .controllers = TRY(root.controllers()),
                    .may_enable = may_write(path + "/cgroup.subtree_control"),
                    .elsewhere = elsewhere};
}

// Ours by ownership too: what somebody else has made for all to write into is none.
bool is_ours(const std::string& directory) {
  struct stat status {};
  return ::lstat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         status.st_uid == ::geteuid();
}

// Beside the cgroups that `below` is in; empty: none.
std::string delegated_beside(const std::string& below, const std::string& mount) {
  std::string above = below;
  while (above.size() > mount.size()) {
    above.erase(above.rfind('/'));
    const std::string candidate = above + "/" + kDelegatedName;
    if (is_ours(candidate) && delegated(candidate) && may_write(above + "/cgroup.procs"))
      return candidate;
  }
  return {};
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
  if (!start) return std::nullopt;
  if (!delegated(*start)) {
    const std::string beside =
        ::geteuid() == 0 ? std::string() : delegated_beside(*start, hierarchy.mount);
    if (beside.empty()) return std::nullopt;
    return TRY(delegation_at(beside, true));
  }
  std::string top = *start;
  while (::geteuid() != 0 && top.size() > hierarchy.mount.size()) {
    const std::string parent = top.substr(0, top.rfind('/'));
    if (!delegated(parent)) break;
    top = parent;
  }
  return TRY(delegation_at(top, false));
}

Result<std::optional<Delegation>> find_delegation() {
  const std::optional<CgroupHierarchy> hierarchy = TRY(find_hierarchy());
  if (!hierarchy) return std::nullopt;
  return find_delegation(*hierarchy);
}

}  // namespace conode
