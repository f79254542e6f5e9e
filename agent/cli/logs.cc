// SPDX-License-Identifier: Apache-2.0
// conode logs
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "agent/services/failure_report.h"

namespace conode::cli {
namespace {

struct LogsOptions {
  std::string service;
  int lines = 0;
  bool follow = false;
};

// A log on standard output: as it is, or each line as an object.
class LogOutput {
 public:
  LogOutput(std::string service, bool json) : service_(std::move(service)), json_(json) {}

  [[nodiscard]] Result<void> add(std::string_view text) {
    if (!json_) return write_all(STDOUT_FILENO, text, "standard output");
    unfinished_ += text;
    std::string objects;
    size_t begin = 0;
    for (size_t end = 0; (end = unfinished_.find('\n', begin)) != std::string::npos;
         begin = end + 1)
      objects += object(unfinished_.substr(begin, end - begin));
    unfinished_.erase(0, begin);
    return write_all(STDOUT_FILENO, objects, "standard output");
  }

 private:
  [[nodiscard]] std::string object(const std::string& line) const {
    const nlohmann::ordered_json all = {{"service", service_}, {"line", line}};
    return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  std::string service_;
  bool json_;
  std::string unfinished_;
};

// Copies what is added to the file until the user interrupts.
Result<void> follow(const std::string& path, LogOutput& output) {
  const UniqueFd file = TRY(open_at(AT_FDCWD, path, O_RDONLY));
  const UniqueFd changes(::inotify_init1(IN_CLOEXEC));
  if (!changes || ::inotify_add_watch(changes.get(), path.c_str(), IN_MODIFY | IN_DELETE_SELF) < 0)
    return errno_failure(fmt::format("follow '{}'", path));
  std::array<char, 16384> buffer{};
  for (;;) {
    for (ssize_t n = 0; (n = ::read(file.get(), buffer.data(), buffer.size())) > 0;)
      TRY(output.add({buffer.data(), static_cast<size_t>(n)}));
    // Rotated: it begins again.
    struct stat now {};
    if (::fstat(file.get(), &now) == 0 && now.st_size < ::lseek(file.get(), 0, SEEK_CUR))
      (void)::lseek(file.get(), 0, SEEK_SET);
    if (!exists(path)) return {};  // the job ended
    if (::read(changes.get(), buffer.data(), buffer.size()) < 0 && errno != EINTR)
      return errno_failure(fmt::format("follow '{}'", path));
  }
}

Result<void> list_logs(const std::string& dir, bool json) {
  constexpr std::string_view kSuffix = ".log";
  std::vector<std::string> names = TRY(list_dir(dir));
  std::erase_if(names, [&](const std::string& name) { return !name.ends_with(kSuffix); });
  for (std::string& name : names) name.resize(name.size() - kSuffix.size());
  if (json) {
    fmt::print("{}\n", nlohmann::json(names).dump());
  } else {
    for (const std::string& name : names) fmt::print("{}\n", name);
  }
  return {};
}

Result<void> logs(const LogsOptions& options, bool json, const config::Config& config) {
  const job::FoundJob job = TRY(chosen_job(config));
  const std::string dir = job.path + "/log";
  if (options.service.empty()) return list_logs(dir, json);
  const std::string path = fmt::format("{}/{}.log", dir, options.service);
  if (options.service.find('/') != std::string::npos || !exists(path))
    return failure(fmt::format("read the log of '{}': there is none", options.service),
                   "'conode logs' without a name lists the services");
  LogOutput output(options.service, json);
  if (options.follow) return follow(path, output);
  const std::string text = TRY(read_file(path));
  return output.add(options.lines > 0 ? services::last_lines(text, options.lines) + "\n" : text);
}

}  // namespace

void add_logs(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("logs", "Logs of the services and of the agent");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  add_json_flag(*verb, session);
  auto options = std::make_shared<LogsOptions>();
  verb->add_option("service", options->service, "Without one, the names are listed");
  verb->add_option("-n,--lines", options->lines, "Only the last lines");
  verb->add_flag("-f,--follow", options->follow, "Go on with what is added");
  verb->callback([&session, options] {
    config::Config config;
    if (!session.load_for_job(&config)) return;
    const Result<void> done = logs(*options, session.json, config);
    if (!done) session.exit_code = report(session, done.error());
  });
}

}  // namespace conode::cli
