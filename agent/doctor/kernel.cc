// SPDX-License-Identifier: Apache-2.0
// What the kernel and its settings give: version, cgroups, file systems, network.
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/doctor/attempt.h"
#include "agent/doctor/doctor.h"
#include "cgroup/delegation.h"
#include "netplug/link/link.h"

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
          "before 5.11 user namespaces have no overlay mounts: no container starts",
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

// What the kernel does not have, or does not let a user namespace have. `error` is that of the try.
Finding tried(const char* name, int error, const char* cost, const char* remedy) {
  if (error == 0) return {name, Verdict::ok, "works", {}, {}};
  if (attempt(CLONE_NEWUSER, [] { return 0; }) != 0)
    return {name, Verdict::missing, "not tried: there are no user namespaces", cost,
            "mend 'user namespaces' first"};
  return {name, Verdict::missing, std::strerror(error), cost, remedy};
}

// As containerd makes a container's root, on a tmpfs of the child's own.
int mount_overlay() {
  if (::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) != 0) return errno;
  for (const char* dir : {"/tmp/lower", "/tmp/upper", "/tmp/work", "/tmp/merged"})
    if (::mkdir(dir, 0700) != 0) return errno;
  constexpr const char* kDirs = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work";
  return ::mount("overlay", "/tmp/merged", "overlay", 0, kDirs) == 0 ? 0 : errno;
}

Finding overlay() {
  return tried("overlay file system", attempt(CLONE_NEWUSER | CLONE_NEWNS, mount_overlay),
               "containers have no root file system", "modprobe overlay   # Linux 5.11 or later");
}

int make_veth() {
  Result<Socket> socket = Socket::open();
  if (!socket) return socket.error().code.value();
  const Result<bool> made = create_veth(*socket, {.name = "doctor0", .peer_name = "doctor1"});
  return made ? 0 : std::max(made.error().code.value(), 1);
}

Finding veth() {
  return tried("veth", attempt(CLONE_NEWUSER | CLONE_NEWNET, make_veth), "pods have no network",
               "modprobe veth");
}

// What kube-proxy asks of nf_tables, in little.
Finding nftables() {
  const std::string path = find_program("nft");
  if (path.empty())
    return {"nft", Verdict::missing, "not installed", "kube-proxy cannot make Services work",
            "apt-get install nftables   # dnf install nftables"};
  constexpr const char* kRules =
      "add table inet doctor; add chain inet doctor c { type nat hook postrouting priority 100; }; "
      "add rule inet doctor c ct state new masquerade";
  const int error = attempt(CLONE_NEWUSER | CLONE_NEWNET, [&] {
    const Result<CommandOutput> output = run_command({path, kRules});
    return output && output->exit_code == 0 ? 0 : EOPNOTSUPP;
  });
  return tried("nft", error, "kube-proxy cannot make Services work",
               "modprobe -a nf_tables nf_conntrack nft_chain_nat nft_masq");
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
  return {kernel_version(), delegation(), overlay(),   veth(),     nftables(),
          tun_device(),     egress(),     rp_filter(), app_armor()};
}

}  // namespace conode::doctor
