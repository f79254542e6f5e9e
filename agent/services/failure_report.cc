// SPDX-License-Identifier: Apache-2.0
#include "agent/services/failure_report.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/base/file.h"

namespace conode::services {
namespace {

constexpr int kShownLines = 8;
constexpr int kSearchedLines = 40;

struct Known {
  std::string_view text;
  std::string_view remedy;
};

constexpr std::array<Known, 9> kKnown{{
    {"no space left on device",
     "the file system of the state directory is full: free space, or set --state-dir to a larger "
     "node-local file system"},
    {"address already in use",
     "another process of this sandbox holds the port; 'conode down' and 'conode sweep', then "
     "'conode up' again"},
    {"too many open files",
     "raise the limit of open files (ulimit -n), or fs.inotify.max_user_instances where the line "
     "speaks of inotify"},
    {"inotify", "an administrator raises fs.inotify.max_user_instances and max_user_watches"},
    {"cannot allocate memory",
     "the job's memory is used up: ask the batch system for more, or give Kubernetes more with "
     "--k8s-memory"},
    {"exec format error", "the bundle was built for another architecture: rebuild it here"},
    {"permission denied", "'conode doctor' names what this site does not allow"},
    {"operation not permitted", "'conode doctor' names what this site does not allow"},
    {"read-only file system", "the state directory must be writable: set --state-dir"},
}};

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

std::string last_lines(const std::string& text, int count) {
  size_t at = text.size();
  if (at > 0 && text[at - 1] == '\n') --at;
  const size_t end = at;
  while (count-- > 0 && at > 0) {
    const size_t newline = text.rfind('\n', at - 1);
    if (newline == std::string::npos) return text.substr(0, end);
    at = newline;
  }
  return text.substr(at + (at > 0 ? 1 : 0), end - at - (at > 0 ? 1 : 0));
}

namespace {

// The end of a log; of a Go program that panicked, from the panic on: what follows is its stack.
std::string telling_lines(const std::string& log) {
  for (const char* start : {"\npanic: ", "\nfatal error: "}) {
    const size_t at = log.rfind(start);
    if (at == std::string::npos) continue;
    return log.substr(at + 1, log.find("\n\n", at + 1) - at - 1);
  }
  return last_lines(log, kShownLines);
}

}  // namespace

std::string end_of_file(const std::string& path, size_t size) {
  const Result<UniqueFd> file = open_at(AT_FDCWD, path, O_RDONLY);
  if (!file) return {};
  const off_t end = ::lseek(file->get(), 0, SEEK_END);
  std::string text(std::min(size, static_cast<size_t>(std::max<off_t>(end, 0))), '\0');
  const ssize_t n =
      ::pread(file->get(), text.data(), text.size(), end - static_cast<off_t>(text.size()));
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

Error explain_failure(const std::string& service, const std::string& last_exit,
                      const std::string& log_path) {
  constexpr size_t kSearched = 65536;
  const std::string log = end_of_file(log_path, kSearched);
  Error error{{}, fmt::format("service '{}' does not run ({})", service, last_exit), {}};
  if (!log.empty())
    error.context += fmt::format("; the last lines of '{}':\n{}", log_path, telling_lines(log));
  const std::string searched = lower(last_lines(log, kSearchedLines)) + lower(last_exit);
  for (const Known& known : kKnown) {
    if (searched.find(known.text) == std::string::npos) continue;
    error.remedy = known.remedy;
    break;
  }
  if (error.remedy.empty()) error.remedy = fmt::format("read it with 'conode logs {}'", service);
  return error;
}

}  // namespace conode::services
