// SPDX-License-Identifier: Apache-2.0
#include "agent/job/log_rotation.h"

#include <fmt/format.h>

#include <filesystem>

#include "agent/base/file.h"

namespace conode::job {
namespace {

namespace fs = std::filesystem;

Result<void> rotate(const fs::path& log) {
  const fs::path older = log.string() + ".1";
  std::error_code error;
  fs::remove(older, error);  // first: its space may be what the copy needs
  if (!fs::copy_file(log, older, error)) fs::remove(older, error);
  fs::resize_file(log, 0, error);
  if (error) return code_failure(error.value(), fmt::format("truncate '{}'", log.string()));
  return {};
}

}  // namespace

Result<void> rotate_logs(const std::string& dir, uint64_t limit) {
  Result<void> first;
  for (const std::string& name : TRY(list_dir(dir))) {
    const fs::path log = fs::path(dir) / name;
    std::error_code error;
    if (log.extension() != ".log" || fs::file_size(log, error) <= limit || error) continue;
    if (Result<void> done = rotate(log); !done && first) first = std::move(done);
  }
  return first;
}

}  // namespace conode::job
