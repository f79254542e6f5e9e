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

// What there is, from where `file` stands.
Result<void> copy(const UniqueFd& file, LogOutput& output) {
  std::array<char, 65536> buffer{};
  for (ssize_t n = 0; (n = ::read(file.get(), buffer.data(), buffer.size())) > 0;)
    TRY(output.add({buffer.data(), static_cast<size_t>(n)}));
  return {};
}

// Copies what is added to the file until the job ends or the user interrupts.
Result<void> follow(const std::string& path, const UniqueFd& file, LogOutput& output) {
  const UniqueFd changes(::inotify_init1(IN_CLOEXEC));
  // We hold the file open: of its removal its link count tells (IN_ATTRIB).
  if (!changes || ::inotify_add_watch(changes.get(), path.c_str(), IN_MODIFY | IN_ATTRIB) < 0)
    return errno_failure(fmt::format("follow '{}'", path));
  std::array<char, 4096> events{};
  for (;;) {
    // Rotated: it begins again.
    struct stat now {};
    if (::fstat(file.get(), &now) == 0 && now.st_size < ::lseek(file.get(), 0, SEEK_CUR))
      (void)::lseek(file.get(), 0, SEEK_SET);
    TRY(copy(file, output));
    if (!exists(path)) return {};  // the job ended
    if (::read(changes.get(), events.data(), events.size()) < 0 && errno != EINTR)
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
  const UniqueFd file = TRY(open_at(AT_FDCWD, path, O_RDONLY));
  if (options.lines > 0) {
    constexpr size_t kSearched = 1U << 20U;
    const std::string end = services::end_of_file(path, kSearched);
    if (!end.empty()) TRY(output.add(services::last_lines(end, options.lines) + "\n"));
    (void)::lseek(file.get(), 0, SEEK_END);
  }
  return options.follow ? follow(path, file, output) : copy(file, output);
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
