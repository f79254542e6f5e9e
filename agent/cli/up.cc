// SPDX-License-Identifier: Apache-2.0
// conode up, conode exec: from the configuration to a running agent.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/cli/agent_options.h"
#include "agent/cli/session.h"
#include "agent/cli/stand_in.h"
#include "agent/cli/verbs.h"
#include "agent/job/cleanup.h"
#include "agent/job/node_agent.h"

namespace conode::cli {
namespace {

using nlohmann::json;

std::string to_line(const job::Progress& p) {
  return json({{"phase", p.phase}, {"seconds", p.seconds}, {"ready", p.ready}}).dump();
}

void print_progress(const Session& session, const job::Progress& p) {
  if (session.json)
    tell(stdout, to_line(p) + "\n");
  else if (log::enabled(log::Level::info))
    tell(stderr, fmt::format("conode: {:6.2f} s  {}\n", p.seconds, p.phase));
}

Result<job::Outcome> run_beside_stand_in(job::AgentOptions options) {
  TRY(leave_stand_in(SIGTERM));
  return job::run_agent(std::move(options));
}

Error left_behind(const std::string& line) {
  return {{}, "audit: left behind: " + line, "'conode sweep' tries again"};
}

int conclude(const Session& session, const std::string& job, const Result<job::Outcome>& outcome,
             int own_failure) {
  if (!outcome) return report(session, outcome.error(), own_failure);
  if (outcome->left.empty() && !session.json && log::enabled(log::Level::info))
    tell(stderr, fmt::format("conode: job '{}' has ended; audit: nothing is left\n", job));
  for (const std::string& line : outcome->left) report(session, left_behind(line));
  if (outcome->failure) {
    const bool not_started = outcome->exit_code == 126 || outcome->exit_code == 127;
    return report(session, *outcome->failure, not_started ? outcome->exit_code : own_failure);
  }
  return outcome->exit_code;
}

volatile std::sig_atomic_t interrupted = 0;

// read(2) ends with EINTR then.
void watch_interruption() {
  struct sigaction action {};
  action.sa_handler = [](int number) { interrupted = number; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    if (::sigaction(number, nullptr, &now) == 0 && now.sa_handler != SIG_IGN)
      (void)::sigaction(number, &action, nullptr);
  }
}

// What the agent in the background tells `conode up` over their pipe: progress lines, then how it
// ended, if it ended before it was ready.
void follow_agent(Session& session, const UniqueFd& pipe, const std::string& job, pid_t agent) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = ::read(pipe.get(), buffer.data(), buffer.size())) != 0;) {
    if (n < 0 && errno == EINTR) {
      if (interrupted != 0) {
        tell(stderr, fmt::format("conode: interrupted; removing job '{}'\n", job));
        session.exit_code = 128 + interrupted;
        (void)::kill(agent, SIGTERM);
      }
      continue;
    }
    if (n < 0) break;
    text.append(buffer.data(), static_cast<size_t>(n));
    for (size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      const json line = json::parse(text.substr(0, end), nullptr, false);
      if (line.contains("error")) {
        session.exit_code =
            report(session, Error{{}, line.value("error", ""), line.value("remedy", "")});
        continue;
      }
      const job::Progress p{
          line.value("phase", ""), line.value("seconds", 0.0), {}, {}, line.value("ready", false)};
      print_progress(session, p);
      if (!p.ready) continue;
      if (!session.json && log::enabled(log::Level::info))
        tell(stderr,
             fmt::format("conode: job '{}' is ready; eval \"$(conode env)\" sets KUBECONFIG\n",
                         job));
      return;
    }
  }
  if (session.exit_code == 0)
    session.exit_code = report(session, Error{{},
                                              "the agent ended before the cluster was ready",
                                              "'conode sweep', then 'conode up' again"});
}

// The state directory and its logs go with the job. Why it ended before anybody ended it stands
// where `conode up` was called, as a batch system's output does.
void leave_report(const std::string& job, const std::vector<Error>& failures) {
  std::string text = fmt::format("conode: job '{}' has ended\n", job);
  for (const Error& failure : failures) {
    text += fmt::format("conode: {}\n", failure.message());
    if (!failure.remedy.empty()) text += fmt::format("  what to do: {}\n", failure.remedy);
  }
  text += "\nthe agent's log:\n";
  for (const std::string& line : log::recent()) text += line;
  const Result<UniqueFd> file =
      open_at(AT_FDCWD, fmt::format("conode-{}.log", job),
              O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file) (void)write_all(file->get(), text, "report");
}

// The agent's process: off the terminal, its last words go to the pipe.
[[noreturn]] void run_in_background(job::AgentOptions options, int pipe) {
  ::setsid();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {0, 1, 2}) ::dup2(null.get(), fd);
  // What the caller has left open (a pipe that somebody reads to its end) is not for a daemon.
  for (const std::string& name : list_dir("/proc/self/fd").value_or(std::vector<std::string>{}))
    if (const int fd = std::stoi(name); fd > 2 && fd != pipe) ::close(fd);
  // Who waits for us may be interrupted: then nobody wants the cluster.
  bool ready = false;
  options.progress = [pipe, told = true, &ready](const job::Progress& p) mutable {
    if (told && !write_all(pipe, to_line(p) + "\n", "progress")) {
      told = false;
      ::kill(::getpid(), SIGTERM);
    }
    if (p.ready) told = false;
    ready = ready || p.ready;
  };
  const std::string job = options.job;
  const Result<job::Outcome> outcome = run_beside_stand_in(std::move(options));
  std::vector<Error> failures;
  if (!outcome) failures.push_back(outcome.error());
  if (outcome && outcome->failure) failures.push_back(*outcome->failure);
  if (outcome)
    for (const std::string& line : outcome->left) failures.push_back(left_behind(line));
  if (!failures.empty() && ready) leave_report(job, failures);
  std::string lines;
  for (const Error& e : failures)
    lines += json({{"error", e.message()}, {"remedy", e.remedy}}).dump() + "\n";
  (void)write_all(pipe, lines, "progress");
  ::_exit(failures.empty() ? 0 : 1);
}

void up(Session& session, job::AgentOptions options) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) {
    session.exit_code = report(session, errno_failure("pipe").value());
    return;
  }
  UniqueFd read_end(fds[0]);
  UniqueFd write_end(fds[1]);
  const std::string job = options.job;
  const pid_t pid = ::fork();  // no threads yet
  if (pid < 0) {
    session.exit_code = report(session, errno_failure("start the agent: fork").value());
    return;
  }
  if (pid == 0) {
    read_end.reset();
    run_in_background(std::move(options), write_end.get());
  }
  write_end.reset();
  watch_interruption();
  follow_agent(session, read_end, job, pid);
}

void with_options(Session& session, const std::vector<std::string>& command, int own_failure) {
  const auto since = std::chrono::steady_clock::now();
  config::Config config;
  if (!session.load(&config)) return;
  // Several `exec` may run beside each other; of `up` there is one, unless it is named.
  const std::string name = command.empty() ? "local" : fmt::format("exec-{}", ::getpid());
  Result<job::AgentOptions> options = agent_options(config, name);
  if (!options) {
    session.exit_code = report(session, options.error(), own_failure);
    return;
  }
  options->since = since;
  if (command.empty()) return up(session, std::move(*options));
  options->workload = command;
  options->progress = [&session](const job::Progress& p) { print_progress(session, p); };
  const std::string job = options->job;
  session.exit_code = conclude(session, job, run_beside_stand_in(std::move(*options)), own_failure);
}

}  // namespace

void add_up(CLI::App& app, Session& session) {
  CLI::App* verb =
      app.add_subcommand("up", "Start the cluster beside the HPC part; 'down' ends it");
  config::add_flags(*verb, session.flags);
  add_json_flag(*verb, session);
  verb->callback([&session] { with_options(session, {}, kFailed); });
}

void add_exec(CLI::App& app, Session& session) {
  CLI::App* verb =
      app.add_subcommand("exec", "Cluster up, run a command in the HPC part, cluster down");
  config::add_flags(*verb, session.flags);
  add_json_flag(*verb, session);
  auto command = std::make_shared<std::vector<std::string>>();
  verb->add_option("command", *command, "The command and its arguments, after --")->required();
  verb->footer(
      "The exit code is the command's; 125 when conode itself failed, 126 or 127 when the\n"
      "command could not be started.");
  verb->callback([&session, command] { with_options(session, *command, kOwnFailure); });
}

}  // namespace conode::cli
