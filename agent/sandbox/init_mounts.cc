// SPDX-License-Identifier: Apache-2.0
// Theory of operation: mount namespaces are inherited as a copy, so the host's tree is visible (a
// hostPath volume sees the node's software and scratch). On top of it we lay, in this order, what
// differs: the namespaces' own /proc and cgroup2, a tmpfs on /run with the job's directories bound
// into it at fixed paths, a tmpfs on /var/lib and the job's log directory on /var/log. The
// directories are bound from descriptors taken beforehand, because the tmpfs may hide their paths
// (a bundle below /var/lib, a state directory below /run). See mount_namespaces(7).
#include "agent/sandbox/init_mounts.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <vector>

#include "agent/base/file.h"
#include "agent/sandbox/protocol.h"

namespace conode::sandbox {
namespace {

Result<void> mount_at(const char* source, const std::string& target, const char* type,
                      unsigned long flags, const char* data = nullptr) {
  if (::mount(source, target.c_str(), type, flags, data) != 0)
    return errno_failure(fmt::format("mount {} on '{}'", type != nullptr ? type : source, target));
  return {};
}

Result<void> bind_dir(const std::string& source, const std::string& target) {
  TRY(make_dirs(target, 0755));
  return mount_at(source.c_str(), target, nullptr, MS_BIND | MS_REC);
}

Result<void> remount_read_only(const std::string& target) {
  // Flags that the user namespace's creator cannot clear must be kept (mount_namespaces(7)).
  for (const unsigned long kept : {0UL, static_cast<unsigned long>(MS_NOSUID | MS_NODEV),
                                   static_cast<unsigned long>(MS_NOSUID | MS_NODEV | MS_RELATIME)})
    if (::mount(nullptr, target.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kept,
                nullptr) == 0)
      return {};
  return errno_failure(fmt::format("make '{}' read-only", target));
}

// One of the job's directories, held by a descriptor from before anything was covered.
struct Bound {
  UniqueFd source;
  const char* target;
  bool read_only;
};

Result<std::vector<Bound>> open_job_directories(const MountOptions& o) {
  constexpr int kFlags = O_PATH | O_DIRECTORY;
  std::vector<Bound> bound;
  bound.push_back({TRY(open_at(AT_FDCWD, o.state_dir, kFlags)), kStatePath, false});
  bound.push_back({TRY(open_at(AT_FDCWD, o.bundle_dir, kFlags)), kBundlePath, true});
  bound.push_back({TRY(open_at(AT_FDCWD, o.libexec_dir, kFlags)), kLibexecPath, true});
  return bound;
}

Result<void> bind_job_directories(const std::vector<Bound>& bound) {
  for (const Bound& b : bound) {
    TRY(bind_dir(fmt::format("/proc/self/fd/{}", b.source.get()), b.target));
    if (b.read_only) TRY(remount_read_only(b.target));
  }
  return {};
}

Result<void> cover_writable_places() {
  constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV;
  TRY(mount_at("tmpfs", "/var/lib", "tmpfs", kPlain, "mode=0755"));
  const std::string state = kStatePath;
  TRY(bind_dir(state + "/kubelet", "/var/lib/kubelet"));
  TRY(mount_at((state + "/varlog").c_str(), "/var/log", nullptr, MS_BIND));
  for (const char* made : {"/run/containerd", "/run/lock", "/run/netns"})
    TRY(make_dirs(made, 0755));
  return {};
}

// Where /etc/resolv.conf leads, as seen here: its target below /run is covered by our tmpfs, so it
// is made anew. Empty: the host has none, and nobody can make one.
Result<std::string> resolver_file() {
  constexpr const char* kFile = "/etc/resolv.conf";
  std::array<char, PATH_MAX> buffer{};
  const ssize_t size = ::readlink(kFile, buffer.data(), buffer.size());
  if (size < 0) return std::string(exists(kFile) ? kFile : "");
  std::string target(buffer.data(), static_cast<size_t>(size));
  if (target.starts_with("../")) target = target.substr(2);
  if (!target.starts_with("/run/")) return std::string(exists(kFile) ? kFile : "");
  TRY(make_dirs(target.substr(0, target.rfind('/')), 0755));
  TRY(replace_file(target, "", 0644));
  return target;
}

// Programs of the node ask the cluster's DNS: the host's resolver may listen where only the host
// is.
Result<void> cover_resolver(const std::string& resolver) {
  if (resolver.empty()) return {};
  const std::string target = TRY(resolver_file());
  if (target.empty()) return {};
  const std::string own = "/run/conode/resolv.conf";
  TRY(replace_file(own, fmt::format("nameserver {}\n", resolver), 0644));
  return mount_at(own.c_str(), target, nullptr, MS_BIND);
}

// Where cgroup v2 is all there is, the host's is at the very place, and the kernel refuses the same
// file system on the same mount point again (EBUSY; do_add_mount in fs/namespace.c): a tmpfs comes
// between.
Result<void> mount_cgroup2() {
  constexpr const char* kPlace = "/sys/fs/cgroup";
  constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const auto mount = [] { return mount_at("cgroup2", kPlace, "cgroup2", kPlain | MS_RELATIME); };
  Result<void> made = mount();
  if (made || made.error().code != std::errc::device_or_resource_busy) return made;
  TRY(mount_at("tmpfs", kPlace, "tmpfs", kPlain, "mode=0755,size=4k"));
  return mount();
}

}  // namespace

Result<void> make_mounts(const MountOptions& options) {
  const std::vector<Bound> bound = TRY(open_job_directories(options));
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return errno_failure("make the mount tree private");
  TRY(mount_at("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  Result<void> cgroup2 = mount_cgroup2();
  if (!cgroup2 && options.cgroups) return cgroup2;
  // Where no cgroup is ours, runc must not find one that it could make its own in.
  if (cgroup2 && !options.cgroups) TRY(remount_read_only("/sys/fs/cgroup"));
  TRY(mount_at("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"));
  TRY(bind_job_directories(bound));
  TRY(cover_writable_places());
  TRY(cover_resolver(options.resolver));
  // Volumes of pods propagate as the kubelet expects (mountPropagation).
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0)
    return errno_failure("make the mount tree shared");
  return {};
}

}  // namespace conode::sandbox
