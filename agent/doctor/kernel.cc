// SPDX-License-Identifier: Apache-2.0
// What the kernel and its settings give: version, cgroups, file systems, network, limits.
#include <fmt/format.h>
#include <sys/utsname.h>

#include <cstdlib>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/doctor/doctor.h"
#include "cgroup/delegation.h"

namespace conode::doctor {
namespace {

long sysctl_value(const std::string& path) {
  return std::strtol(read_file("/proc/sys/" + path).value_or("-1").c_str(), nullptr, 10);
}

Finding kernel_version() {
  utsname name{};
  (void)::uname(&name);
  char* point = nullptr;
  const long major = std::strtol(name.release, &point, 10);
  const long minor = *point == '.' ? std::strtol(point + 1, nullptr, 10) : 0;
  const long version = major * 1000 + minor;
  if (version >= 5014) return {"kernel", Verdict::ok, name.release, {}, {}};
  if (version >= 5011)
    return {"kernel", Verdict::degraded, name.release, "no cgroup.kill: teardown takes longer",
            "Linux 5.14 or later"};
  return {"kernel", Verdict::missing, name.release,
          "before 5.11 user namespaces have no overlay mounts, before 5.7 no clone into a cgroup",
          "Linux 5.14 or later"};
}

Finding delegation() {
  const std::string hook =
      "install conode's batch hooks, or delegate a cgroup v2 directory of the "
      "job: chown USER DIR DIR/cgroup.procs DIR/cgroup.subtree_control "
      "DIR/cgroup.threads";
  const auto found = find_delegation();
  if (!found || !*found)
    return {"cgroup delegation", Verdict::degraded, "none: level affinity",
            "memory is not limited by part; cores are kept by CPU affinity", hook};
  const EnforcementLevel level = (*found)->level();
  const std::string text = fmt::format("'{}' [{}]: level {}", (*found)->path,
                                       fmt::join((*found)->controllers, " "), to_string(level));
  if (level == EnforcementLevel::controllers)
    return {"cgroup delegation", Verdict::ok, text, {}, {}};
  return {"cgroup delegation", Verdict::degraded, text,
          "memory is not limited by part; cores are kept by CPU affinity",
          "enable cpuset, cpu, memory and pids in the parent's cgroup.subtree_control"};
}

Finding overlay() {
  const std::string known = read_file("/proc/filesystems").value_or("");
  if (known.find("overlay") != std::string::npos)
    return {"overlay file system", Verdict::ok, "available", {}, {}};
  return {"overlay file system", Verdict::missing, "not in /proc/filesystems",
          "containers have no root file system", "modprobe overlay"};
}

Finding nftables() {
  const std::string path = find_program("nft");
  if (!path.empty()) return {"nft", Verdict::ok, path, {}, {}};
  return {"nft", Verdict::missing, "not installed", "kube-proxy cannot make Services work",
          "apt-get install nftables   # dnf install nftables"};
}

Finding tun_device() {
  if (::access("/dev/net/tun", R_OK | W_OK) == 0)
    return {"/dev/net/tun", Verdict::ok, "usable", {}, {}};
  return {"/dev/net/tun", Verdict::degraded, exists("/dev/net/tun") ? "not for you" : "absent",
          "one node works; several nodes need it for the rootless relay",
          "modprobe tun; chmod 0666 /dev/net/tun"};
}

Finding egress() {
  for (const char* name : {"pasta", "slirp4netns"})
    if (const std::string path = find_program(name); !path.empty())
      return {"egress", Verdict::ok, path, {}, {}};
  return {"egress", Verdict::degraded, "neither pasta nor slirp4netns",
          "pods cannot reach the site's network or the internet",
          "apt-get install passt slirp4netns"};
}

Finding rp_filter() {
  const long value = sysctl_value("net/ipv4/conf/default/rp_filter");
  if (value != 1) return {"rp_filter", Verdict::ok, std::to_string(value), {}, {}};
  return {"rp_filter", Verdict::degraded, "1 (strict)",
          "new network namespaces start strict; conode sets its own, other tools may drop packets",
          "sysctl -w net.ipv4.conf.default.rp_filter=2"};
}

Finding inotify() {
  constexpr long kInstances = 128;
  constexpr long kWatches = 8192;
  const long instances = sysctl_value("fs/inotify/max_user_instances");
  const long watches = sysctl_value("fs/inotify/max_user_watches");
  const std::string text = fmt::format("{} instances, {} watches", instances, watches);
  if (instances >= kInstances && watches >= kWatches) return {"inotify", Verdict::ok, text, {}, {}};
  return {"inotify", Verdict::degraded, text, "kubelet and containerd fail to watch with many pods",
          "sysctl -w fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288"};
}

Finding threads() {
  constexpr long kWanted = 8192;
  const long value = sysctl_value("kernel/pid_max");
  if (value >= kWanted) return {"kernel.pid_max", Verdict::ok, std::to_string(value), {}, {}};
  return {"kernel.pid_max", Verdict::degraded, std::to_string(value),
          "few processes on the whole node", "sysctl -w kernel.pid_max=4194304"};
}

Finding app_armor() {
  const long value = sysctl_value("kernel/apparmor_restrict_unprivileged_userns");
  if (value != 1) return {"AppArmor", Verdict::ok, "does not restrict user namespaces", {}, {}};
  return {"AppArmor", Verdict::missing, "restricts unprivileged user namespaces",
          "user namespaces have no capabilities without a profile",
          "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0   # or an AppArmor profile "
          "with 'userns,' for conode"};
}

}  // namespace

std::vector<Finding> examine_kernel(const Environment& /*environment*/) {
  return {kernel_version(), delegation(), overlay(), nftables(), tun_device(),
          egress(),         rp_filter(),  inotify(), threads(),  app_armor()};
}

}  // namespace conode::doctor
