// SPDX-License-Identifier: Apache-2.0
#include "agent/job/log_rotation.h"

#include <fmt/format.h>

#include <filesystem>

#include "agent/base/file.h"
#include "agent/base/log.h"

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

LogRotation::LogRotation(boost::asio::io_context& loop, std::string dir)
    : timer_(loop), dir_(std::move(dir)) {
  wait();
}

void LogRotation::wait() {
  constexpr std::chrono::minutes kPeriod{1};
  constexpr uint64_t kLimit = 8U << 20U;
  timer_.expires_after(kPeriod);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    if (const Result<void> done = rotate_logs(dir_, kLimit); !done)
      log::warning("{}", done.error().message());
    wait();
  });
}

}  // namespace conode::job
