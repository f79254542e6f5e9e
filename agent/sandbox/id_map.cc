// SPDX-License-Identifier: Apache-2.0
#include "agent/sandbox/id_map.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <pwd.h>
#include <shadow/subid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <span>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/process.h"

namespace conode {
namespace {

using Lookup = int (*)(const char*, subid_range**);

std::vector<IdRange> subordinate_ranges(const char* user, Lookup lookup) {
  subid_range* found = nullptr;
  const int count = lookup(user, &found);
  const std::unique_ptr<subid_range, void (*)(void*)> owner(found, &::free);
  std::vector<IdRange> ranges;
  uint32_t inside = 1;
  for (const subid_range& r : std::span(found, count > 0 ? static_cast<size_t>(count) : 0)) {
    ranges.push_back({inside, static_cast<uint32_t>(r.start), static_cast<uint32_t>(r.count)});
    inside += static_cast<uint32_t>(r.count);
  }
  return ranges;
}

Result<std::string> user_name(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return std::to_string(uid);  // subuid(5) allows a number too
  return std::string(entry.pw_name);
}

// In a user namespace of our own, of which the mappers' setuid bits mean nothing, we may be allowed
// to do it ourselves.
bool may_map_any_id() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  constexpr uint32_t kNeeded = (1U << CAP_SETUID) | (1U << CAP_SETGID);
  return ::syscall(SYS_capget, &header, data.data()) == 0 &&
         (data[0].effective & kNeeded) == kNeeded;
}

Result<void> write_ranges(pid_t pid, const char* file, const std::vector<IdRange>& ranges) {
  std::string lines;
  for (const IdRange& r : ranges) lines += fmt::format("{} {} {}\n", r.inside, r.outside, r.count);
  return write_value(fmt::format("/proc/{}/{}", pid, file), lines);
}

Result<Process> spawn_mapper(const char* program, pid_t pid, const std::vector<IdRange>& ranges) {
  std::vector<std::string> argv{find_program(program), std::to_string(pid)};
  for (const IdRange& r : ranges)
    for (const uint32_t n : {r.inside, r.outside, r.count}) argv.push_back(std::to_string(n));
  return Process::spawn({.argv = argv});
}

Result<void> finish_mapper(const char* program, Process& mapper) {
  const ExitStatus status = TRY(mapper.wait());
  if (shell_exit_code(status) == 0) return {};
  return failure(fmt::format("map ids: {} ended with {}", program, describe(status)),
                 "an administrator checks /etc/subuid and /etc/subgid for your user and that "
                 "newuidmap and newgidmap are setuid root (package uidmap)");
}

}  // namespace

Result<IdMap> id_map_of_user() {
  IdMap map;
  map.uids.push_back({0, ::getuid(), 1});
  map.gids.push_back({0, ::getgid(), 1});
  if (find_program("newuidmap").empty() || find_program("newgidmap").empty()) return map;
  const std::string user = TRY(user_name(::getuid()));
  const auto uids = subordinate_ranges(user.c_str(), &::subid_get_uid_ranges);
  const auto gids = subordinate_ranges(user.c_str(), &::subid_get_gid_ranges);
  if (uids.empty() || gids.empty()) return map;
  map.uids.insert(map.uids.end(), uids.begin(), uids.end());
  map.gids.insert(map.gids.end(), gids.begin(), gids.end());
  map.subordinate = true;
  return map;
}

Result<void> write_id_map(pid_t pid, const IdMap& map) {
  const bool directly = may_map_any_id();
  if (!map.subordinate) TRY(write_value(fmt::format("/proc/{}/setgroups", pid), "deny"));
  if (!map.subordinate || directly) {
    TRY(write_ranges(pid, "uid_map", map.uids));
    return write_ranges(pid, "gid_map", map.gids);
  }
  Process uids = TRY(spawn_mapper("newuidmap", pid, map.uids));
  Process gids = TRY(spawn_mapper("newgidmap", pid, map.gids));
  TRY(finish_mapper("newuidmap", uids));
  return finish_mapper("newgidmap", gids);
}

}  // namespace conode
