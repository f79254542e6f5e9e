// SPDX-License-Identifier: Apache-2.0
#include "batch_hooks/hook/record.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "agent/base/file.h"

namespace conode::hook {
namespace {

constexpr const char* kFile = "delegated";
constexpr mode_t kReadable = 0644;

// A number and the space behind it, taken off. Streams would read "-1" as a large one.
std::optional<uint32_t> take_id(std::string_view& text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const auto length = static_cast<size_t>(end - text.data());
  if (error != std::errc{} || length >= text.size() || *end != ' ') return std::nullopt;
  text.remove_prefix(length + 1);
  return id;
}

bool is_path_of_job(std::string_view path) {
  return path.starts_with('/') && path.find("/..") == std::string_view::npos &&
         path.find_first_of(std::string_view("\n\0", 2)) == std::string_view::npos &&
         is_job_id(path.substr(path.rfind('/') + 1));
}

}  // namespace

Result<Record> parse_record(const std::string& job, const std::string& text) {
  std::string_view rest = text;
  if (rest.ends_with('\n')) rest.remove_suffix(1);
  const std::optional<uint32_t> user = take_id(rest);
  const std::optional<uint32_t> group = user ? take_id(rest) : std::nullopt;
  if (user && group && is_path_of_job(rest))
    return Record{.job = job, .cgroup = std::string(rest), .user = *user, .group = *group};
  return failure(fmt::format("read the record of job '{}': '{}'", job, text),
                 "remove it, after a look at that job's cgroup");
}

std::string record_text(const Record& record) {
  return fmt::format("{} {} {}\n", record.user, record.group, record.cgroup);
}

Result<void> write_record(const HookDirectory& hooks, const Record& record) {
  const VxlanJobDir dir = TRY(VxlanJobDir::make(hooks, record.job));
  return replace_file(kFile, record_text(record), kReadable, dir.fd());
}

Result<std::optional<Record>> read_record(const HookDirectory& hooks, const std::string& job) {
  const std::optional<VxlanJobDir> dir = TRY(VxlanJobDir::find(hooks, job));
  if (!dir) return std::nullopt;
  const std::optional<std::string> text = TRY(read_file_if_exists(kFile, dir->fd()));
  if (!text) return std::nullopt;
  return TRY(parse_record(job, *text));
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
