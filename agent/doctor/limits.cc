// SPDX-License-Identifier: Apache-2.0
// Numbers that run out: of descriptors, watches, processes and threads.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "agent/base/file.h"
#include "agent/doctor/doctor.h"
#include "cgroup/hierarchy.h"

namespace conode::doctor {
namespace {

long sysctl_value(const std::string& path) {
  return std::strtol(read_file("/proc/sys/" + path).value_or("-1").c_str(), nullptr, 10);
}

Finding open_files() {
  constexpr rlim_t kWanted = 8192;
  rlimit limit{};
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max >= kWanted)
    return {"open files", Verdict::ok, std::to_string(limit.rlim_max), {}, {}};
  return {"open files", Verdict::degraded, std::to_string(limit.rlim_max),
          "etcd and the API server run out of descriptors with many pods",
          "LimitNOFILE=65536 in the batch daemon's unit, or limits.conf(5)"};
}

Finding process_limit() {
  constexpr rlim_t kWanted = 4096;
  rlimit limit{};
  (void)::getrlimit(RLIMIT_NPROC, &limit);
  if (limit.rlim_max >= kWanted)
    return {"process limit",
            Verdict::ok,
            limit.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_max),
            {},
            {}};
  return {"process limit", Verdict::degraded, std::to_string(limit.rlim_max),
          "the services take about 200 threads, each pod 10 to 20 more",
          "LimitNPROC=infinity in the batch daemon's unit, or limits.conf(5)"};
}

std::optional<long> number(const std::string& path) {
  const std::string text = read_file(path).value_or("");
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (end == text.c_str()) return std::nullopt;  // "max", or no such file
  return value;
}

// Tasks that may still be made in `dir` and all that it lies in, up to `mount`.
std::optional<long> room_for_tasks(std::string dir, const std::string& mount) {
  std::optional<long> least;
  for (; dir.size() > mount.size(); dir.resize(dir.rfind('/')))
    if (const std::optional<long> limit = number(dir + "/pids.max"))
      least = std::min(least.value_or(*limit), *limit - number(dir + "/pids.current").value_or(0));
  return least;
}

// The directory of our own cgroup that counts tasks; `mount` gets where its hierarchy begins.
std::string cgroup_that_counts(std::string* mount) {
  constexpr std::string_view kVersion1 = ":pids:";
  const std::string own = read_file("/proc/self/cgroup").value_or("");
  if (const size_t at = own.find(kVersion1); at != std::string::npos) {
    *mount = "/sys/fs/cgroup/pids";
    const size_t begin = at + kVersion1.size();
    return *mount + own.substr(begin, own.find('\n', begin) - begin);
  }
  const auto hierarchy = find_hierarchy();
  if (!hierarchy || !*hierarchy) return {};
  *mount = (*hierarchy)->mount;
  const Result<std::string> path = own_cgroup_path();
  return path ? *path : std::string();
}

Finding task_limit() {
  constexpr long kWanted = 1024;
  std::string mount;
  const std::string dir = cgroup_that_counts(&mount);
  const std::optional<long> room = dir.empty() ? std::nullopt : room_for_tasks(dir, mount);
  if (!room) return {"pids.max", Verdict::ok, "no limit", {}, {}};
  const std::string text = fmt::format("{} more processes and threads", *room);
  if (*room >= kWanted) return {"pids.max", Verdict::ok, text, {}, {}};
  return {
      "pids.max", Verdict::degraded, text,
      "the services take about 200 threads, each pod 10 to 20 more",
      fmt::format("echo max > {}/pids.max   # TasksMax=infinity in the batch daemon's unit", dir)};
}

Finding threads() {
  constexpr long kWanted = 8192;
  const long value = sysctl_value("kernel/pid_max");
  if (value >= kWanted) return {"kernel.pid_max", Verdict::ok, std::to_string(value), {}, {}};
  return {"kernel.pid_max", Verdict::degraded, std::to_string(value),
          "few processes on the whole node", "sysctl -w kernel.pid_max=4194304"};
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

}  // namespace

std::vector<Finding> examine_limits(const Environment& /*environment*/) {
  return {open_files(), process_limit(), task_limit(), threads(), inotify()};
}

}  // namespace conode::doctor
