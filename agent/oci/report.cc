// SPDX-License-Identifier: Apache-2.0
#include "agent/oci/report.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"

namespace conode {
namespace {

std::string rfc3339(std::time_t now) {
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {text.data(), size};
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string log_line(const std::string& message, const std::string& log_format, std::time_t now) {
  if (log_format == "json")
    return fmt::format("{{\"level\":\"error\",\"msg\":{},\"time\":\"{}\"}}\n", quoted(message),
                       rfc3339(now));
  return fmt::format("time=\"{}\" level=error msg={}\n", rfc3339(now), quoted(message));
}

void report(const Error& error, const RuntimeCall& call) {
  std::string message = "conode-oci: " + error.message();
  if (!error.remedy.empty()) message += fmt::format(" ({})", error.remedy);
  (void)write_all(STDERR_FILENO, message + "\n", "standard error");
  if (call.log.empty()) return;
  const std::string line = log_line(message, call.log_format, std::time(nullptr));
  const Result<UniqueFd> log = open_at(AT_FDCWD, call.log, O_WRONLY | O_CREAT | O_APPEND, 0644);
  const Result<void> written = log ? write_all(log->get(), line, call.log) : Failure(log.error());
  if (!written)
    (void)write_all(STDERR_FILENO,
                    fmt::format("conode-oci: {}, ignoring\n", written.error().message()),
                    "standard error");
}

}  // namespace conode
