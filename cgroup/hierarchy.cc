// SPDX-License-Identifier: Apache-2.0
#include "cgroup/hierarchy.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "agent/base/file.h"
#include "cgroup/mounted_controllers.h"

namespace conode {
namespace {

struct Mount {
  std::string root;
  std::string point;
  std::string type;
  std::string super_options;
};

// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(i + 1, 3);
    const bool octal = text[i] == '\\' && digits.size() == 3 &&
                       digits.find_first_not_of("01234567") == std::string_view::npos;
    out +=
        octal
            ? static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + (digits[2] - '0'))
            : text[i];
    if (octal) i += 3;
  }
  return out;
}

// 36 35 98:0 /root /mount/point rw,noatime [optional fields] - type source super,options
std::optional<Mount> parse_mount(const std::string& line) {
  const size_t dash = line.find(" - ");
  if (dash == std::string::npos) return std::nullopt;
  std::istringstream before(line.substr(0, dash));
  std::istringstream after(line.substr(dash + 3));
  Mount mount;
  std::string skipped;
  std::string root;
  std::string point;
  before >> skipped >> skipped >> skipped >> root >> point;
  after >> mount.type >> skipped >> mount.super_options;
  if (point.empty() || mount.type.empty()) return std::nullopt;
  mount.root = unescape(root);
  mount.point = unescape(point);
  return mount;
}

Result<std::vector<Mount>> cgroup_mounts(const std::string& proc) {
  std::istringstream lines(TRY(read_file(proc + "/self/mountinfo")));
  std::vector<Mount> mounts;
  for (std::string line; std::getline(lines, line);) {
    std::optional<Mount> mount = parse_mount(line);
    if (mount && (mount->type == "cgroup" || mount->type == "cgroup2"))
      mounts.push_back(std::move(*mount));
  }
  return mounts;
}

// The controllers of version 1 by mountinfo: super options that are none of the file system's own.
std::vector<MountedController> controllers_in(const std::vector<Mount>& mounts) {
  std::vector<MountedController> found;
  for (const Mount& mount : mounts) {
    if (mount.type != "cgroup") continue;
    std::istringstream options(mount.super_options);
    for (std::string option; std::getline(options, option, ',');)
      if (option != "rw" && option != "ro" && option != "xattr" && option != "clone_children" &&
          option != "noprefix" && option.find('=') == std::string::npos)
        found.push_back({option, mount.point});
  }
  return found;
}

// Best first: a mount that has controllers, then one that shows the whole hierarchy.
const Mount* choose(const std::vector<Mount>& mounts,
                    const std::vector<MountedController>& controllers) {
  const auto score = [&](const Mount& mount) {
    const bool has_controllers =
        std::any_of(controllers.begin(), controllers.end(),
                    [&](const MountedController& c) { return c.mount_point == mount.point; });
    return (has_controllers ? 2 : 0) + (mount.root == "/" ? 1 : 0);
  };
  const Mount* best = nullptr;
  for (const Mount& mount : mounts) {
    if (mount.type != "cgroup2") continue;
    // Another file system may lie over the mount point.
    if (!exists(mount.point + "/cgroup.controllers")) continue;
    if (best == nullptr || score(mount) > score(*best)) best = &mount;
  }
  return best;
}

}  // namespace

std::optional<std::string> CgroupHierarchy::directory(std::string_view cgroup) const {
  const auto outside = [](std::string_view path) {
    return path == "/.." || path.starts_with("/../");
  };
  if (!cgroup.starts_with('/') || outside(cgroup) || cgroup.ends_with(" (deleted)")) return {};
  if (outside(root)) return {};
  std::string_view below = cgroup;
  if (root != "/") {
    if (!cgroup.starts_with(root)) return {};
    below.remove_prefix(root.size());
    if (!below.empty() && below.front() != '/') return {};
  }
  return below == "/" ? mount : mount + std::string(below);
}

Result<std::optional<CgroupHierarchy>> find_hierarchy(const std::string& proc) {
  const std::vector<Mount> mounts = TRY_AS("find the cgroup v2 hierarchy", cgroup_mounts(proc));
  const std::vector<MountedController> controllers =
      proc == "/proc" ? TRY(mounted_controllers()) : controllers_in(mounts);
  const Mount* mount = choose(mounts, controllers);
  if (mount == nullptr) return std::nullopt;

  CgroupHierarchy found{.mount = mount->point, .root = mount->root};
  for (const MountedController& c : controllers) {
    const bool v1 = std::any_of(mounts.begin(), mounts.end(), [&](const Mount& m) {
      return m.type == "cgroup" && m.point == c.mount_point;
    });
    if (v1 && !c.name.starts_with("name=")) found.v1_controllers.push_back(c.name);
  }
  if (!found.v1_controllers.empty()) found.mode = CgroupMode::hybrid;
  return found;
}

Result<std::optional<std::string>> cgroup_of(pid_t pid, const std::string& proc) {
  const std::string path =
      fmt::format("{}/{}/cgroup", proc, pid == 0 ? std::string("self") : std::to_string(pid));
  std::istringstream lines(TRY_AS("find the cgroup of a process", read_file(path)));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::")) return line.substr(3);
  return std::nullopt;
}

Result<std::string> own_cgroup_path() {
  const std::optional<CgroupHierarchy> hierarchy = TRY(find_hierarchy());
  const std::optional<std::string> own = TRY(cgroup_of(0));
  if (!hierarchy || !own)
    return failure("find our own cgroup: no cgroup v2 hierarchy is mounted",
                   "mount -t cgroup2 none /sys/fs/cgroup, or use enforcement level 'affinity'");
  const std::optional<std::string> directory = hierarchy->directory(*own);
  if (!directory)
    return failure(
        fmt::format("find our own cgroup: '{}' is not visible at '{}' (which shows '{}')", *own,
                    hierarchy->mount, hierarchy->root));
  return *directory;
}

}  // namespace conode
