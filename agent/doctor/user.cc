// SPDX-License-Identifier: Apache-2.0
// What the user was given: identity, subordinate ids, limits, the right to make namespaces.
#include <fmt/format.h>
#include <pwd.h>
#include <sched.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/doctor/attempt.h"
#include "agent/doctor/doctor.h"
#include "agent/sandbox/id_map.h"

namespace conode::doctor {
namespace {

std::string user_name() {
  const passwd* entry = ::getpwuid(::getuid());  // NOLINT(concurrency-mt-unsafe): one thread
  return entry != nullptr ? entry->pw_name : std::to_string(::getuid());
}

Finding identity() {
  if (::geteuid() != 0) return {"ordinary user", Verdict::ok, user_name(), {}, {}};
  return {"ordinary user", Verdict::missing, "you are root",
          "conode refuses to run as root: the sandbox's root would be the machine's",
          "run conode as the user of the job"};
}

Finding user_namespaces() {
  const int error = attempt(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID |
                                CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
                            [] { return 0; });
  if (error == 0) return {"user namespaces", Verdict::ok, "can be made", {}, {}};
  std::string remedy = "sysctl -w kernel.unprivileged_userns_clone=1";
  if (error == ENOSPC || error == EUSERS)
    remedy = "sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000";
  if (read_file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").value_or("0")[0] == '1')
    remedy = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0   # or an AppArmor profile";
  if (error == ENOSYS || error == EINVAL) remedy = "a kernel with CONFIG_USER_NS=y, 5.14 or later";
  return {"user namespaces", Verdict::missing, std::strerror(error), "nothing works without them",
          remedy};
}

Finding namespace_limits() {
  constexpr long kWanted = 64;
  std::string low;
  for (const char* kind : {"user", "mnt", "net", "pid", "ipc", "uts", "cgroup"}) {
    const std::string name = fmt::format("max_{}_namespaces", kind);
    const long value =
        std::strtol(read_file("/proc/sys/user/" + name).value_or("0").c_str(), nullptr, 10);
    if (value < kWanted) low += fmt::format("{}user.{}={}", low.empty() ? "" : " ", name, value);
  }
  if (low.empty()) return {"namespace limits", Verdict::ok, "high enough", {}, {}};
  return {"namespace limits", Verdict::degraded, low,
          "each pod takes a network, mount, PID, IPC and UTS namespace: few pods, or none",
          "sysctl -w user.max_user_namespaces=15000   # and its like for the others named"};
}

Finding mapping_programs() {
  for (const char* name : {"newuidmap", "newgidmap"}) {
    const std::string path = find_program(name);
    if (path.empty())
      return {"newuidmap", Verdict::degraded, fmt::format("{} is not installed", name),
              "only your own id is mapped: pods that run as another user fail",
              "apt-get install uidmap   # dnf install shadow-utils"};
    struct stat st {};
    const bool setuid = ::stat(path.c_str(), &st) == 0 && (st.st_mode & S_ISUID) != 0;
    const bool capable = ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
    if (!setuid && !capable)
      return {"newuidmap", Verdict::missing, fmt::format("'{}' has no privilege", path),
              "no cluster starts: your subordinate ids cannot be mapped",
              fmt::format("chmod u+s {}", path)};
  }
  return {"newuidmap", Verdict::ok, "installed, with privilege", {}, {}};
}

Finding subordinate_ids() {
  constexpr uint32_t kWanted = 65536;
  const Result<IdMap> map = id_map_of_user();
  uint32_t count = 0;
  std::string ranges;
  if (map)
    for (size_t i = 1; i < map->uids.size(); ++i) {
      count += map->uids[i].count;
      ranges += fmt::format("{}{}:{}", ranges.empty() ? "" : " ", map->uids[i].outside,
                            map->uids[i].count);
    }
  const std::string remedy = fmt::format(
      "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}   # free ranges",
      user_name());
  if (count == 0)
    return {"subordinate ids", Verdict::degraded, "none",
            "only your own id is mapped: pods that run as another user fail", remedy};
  if (count < kWanted)
    return {"subordinate ids", Verdict::degraded, ranges,
            fmt::format("pods with user ids from {} on fail", count + 1), remedy};
  return {"subordinate ids", Verdict::ok, ranges, {}, {}};
}

}  // namespace

std::vector<Finding> examine_user(const Environment& /*environment*/) {
  return {identity(), user_namespaces(), namespace_limits(), mapping_programs(), subordinate_ids()};
}

}  // namespace conode::doctor
