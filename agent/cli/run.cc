// SPDX-License-Identifier: Apache-2.0
// conode run, shell, env, kubectl: programs of the user in or for a running job.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "agent/job/hpc_part.h"

namespace conode::cli {
namespace {

// Replaces this process; comes back only with the failure.
Error execute(const std::vector<std::string>& command, const char* program = nullptr) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(program != nullptr ? program : argv[0], argv.data());
  return errno_failure(fmt::format("start '{}'", command[0])).value();
}

int exit_code_of(const Error& error) {
  constexpr int kNotFound = 127;
  constexpr int kNotExecutable = 126;
  return error.is(std::errc::no_such_file_or_directory) ? kNotFound : kNotExecutable;
}

void run_in_part(Session& session, const std::vector<std::string>& command) {
  config::Config config;
  if (!session.load(&config)) return;
  const Result<job::FoundJob> job = running_job(config);
  if (!job) {
    session.exit_code = report(session, job.error(), kOwnFailure);
    return;
  }
  if (const Result<void> entered = job::enter_hpc_part(*job->instance, job->path); !entered) {
    session.exit_code = report(session, entered.error(), kOwnFailure);
    return;
  }
  const Error error = execute(command);
  session.exit_code = report(session, error, exit_code_of(error));
}

std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

void print_environment(Session& session) {
  config::Config config;
  if (!session.load(&config)) return;
  const Result<job::FoundJob> job = running_job(config);
  if (!job) {
    session.exit_code = report(session, job.error());
    return;
  }
  const auto environment = job::part_environment(*job->instance, job->path);
  if (session.json) {
    fmt::print("{}\n", nlohmann::json(environment).dump(2));
    return;
  }
  for (const auto& [name, value] : environment)
    fmt::print("export {}={}\n", name, shell_quoted(value));
}

void run_kubectl(Session& session, const std::vector<std::string>& arguments) {
  config::Config config;
  if (!session.load(&config)) return;
  const Result<job::FoundJob> job = running_job(config);
  if (!job) {
    session.exit_code = report(session, job.error());
    return;
  }
  ::setenv("KUBECONFIG", (job->path + "/kubeconfig").c_str(), 1);
  std::vector<std::string> command{"kubectl"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const std::string program = job->instance->bundle + "/kubectl";
  const Error error = execute(command, program.c_str());
  session.exit_code = report(session, error, exit_code_of(error));
}

}  // namespace

void add_run(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("run", "Run a command in the HPC part, on all its cores");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  auto command = std::make_shared<std::vector<std::string>>();
  verb->add_option("command", *command, "The command and its arguments, after --")->required();
  verb->callback([&session, command] { run_in_part(session, *command); });
}

void add_shell(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("shell", "A shell in the HPC part, with kubectl configured");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  verb->callback([&session] {
    const char* shell = std::getenv("SHELL");
    run_in_part(session, {shell != nullptr && *shell != '\0' ? shell : "/bin/sh"});
  });
}

void add_env(CLI::App& app, Session& session) {
  CLI::App* verb =
      app.add_subcommand("env", "Print the job's variables for a shell: eval \"$(conode env)\"");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  add_json_flag(*verb, session);
  verb->callback([&session] { print_environment(session); });
}

void add_kubectl(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("kubectl", "The bundle's kubectl on the job's cluster");
  verb->prefix_command();  // what follows is kubectl's; the job comes from CONODE_JOB
  verb->callback([&session, verb] { run_kubectl(session, verb->remaining()); });
}

}  // namespace conode::cli
