// SPDX-License-Identifier: Apache-2.0
#include "batch_hooks/hook/record.h"

#include <fmt/format.h>
#include <unistd.h>

#include <sstream>

#include "agent/base/file.h"

namespace conode::hook {
namespace {

constexpr const char* kFile = "delegated";
constexpr mode_t kReadable = 0644;
constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

Result<Record> parse(const std::string& job, const std::string& text) {
  Record record{.job = job, .cgroup = {}, .user = 0, .group = 0};
  std::istringstream in(text);
  if (in >> record.user >> record.group && in.get() == ' ' && std::getline(in, record.cgroup) &&
      record.cgroup.starts_with('/') && record.cgroup.find("/..") == std::string::npos)
    return record;
  return failure(fmt::format("read the record of job '{}': '{}'", job, text),
                 "remove it, after a look at that job's cgroup");
}

}  // namespace

Result<void> write_record(const HookDirectory& hooks, const Record& record) {
  const VxlanJobDir dir = TRY(VxlanJobDir::make(hooks, record.job));
  return replace_file(kFile, fmt::format("{} {} {}\n", record.user, record.group, record.cgroup),
                      kReadable, dir.fd());
}

Result<std::optional<Record>> read_record(const HookDirectory& hooks, const std::string& job) {
  const std::optional<VxlanJobDir> dir = TRY(VxlanJobDir::find(hooks, job));
  if (!dir) return std::nullopt;
  const std::optional<std::string> text = TRY(read_file_if_exists(kFile, dir->fd()));
  if (!text) return std::nullopt;
  return TRY(parse(job, *text));
}

Result<std::vector<Record>> all_records(const HookDirectory& hooks) {
  std::vector<Record> records;
  for (const std::string& name : TRY(list_dir(".", hooks.fd()))) {
    if (!is_job_id(name)) continue;
    Result<std::optional<Record>> record = read_record(hooks, name);
    if (record && *record) records.push_back(std::move(**record));
  }
  return records;
}

Result<void> remove_record(const HookDirectory& hooks, const std::string& job) {
  const std::optional<VxlanJobDir> dir = TRY(VxlanJobDir::find(hooks, job));
  if (!dir) return {};
  if (::unlinkat(dir->fd(), kFile, 0) != 0 && errno != ENOENT)
    return errno_failure(fmt::format("remove the record of job '{}'", job));
  if (::unlinkat(hooks.fd(), job.c_str(), AT_REMOVEDIR) == 0 || errno == ENOTEMPTY ||
      errno == EEXIST || errno == ENOENT)
    return {};
  return errno_failure(fmt::format("remove the directory of job '{}'", job));
}

}  // namespace conode::hook
