// SPDX-License-Identifier: Apache-2.0
// conode run, rsh, shell, env, kubectl: programs of the user in or for a running job.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "agent/base/command.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "agent/job/hpc_part.h"
#include "agent/job/node_commands.h"

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

// "n2" or "2"; empty: the node of the job itself.
Result<uint32_t> rank_of(const std::string& node, const job::Instance& instance) {
  if (node.empty()) return instance.rank;
  const char* begin = node.data() + (node[0] == 'n' ? 1 : 0);
  const char* end = node.data() + node.size();
  uint32_t rank = 0;
  const auto [rest, error] = std::from_chars(begin, end, rank);
  if (error != std::errc() || rest != end || begin == end)
    return failure(fmt::format("find node '{}': no such name", node),
                   "nodes are n0, n1, ...: 'conode status' lists them");
  return rank;
}

// Becomes the command, or has rank 0's agent start it where it belongs; the result is its exit
// code.
Result<int> run_in_part(const Session& session, const config::Config& config,
                        const std::string& node, const std::vector<std::string>& command) {
  const job::FoundJob job = TRY(running_job_here(config));
  const uint32_t rank = TRY(rank_of(node, *job.instance));
  // A local node is a network namespace; a worker's own job is that of its rank already.
  if (rank != job.instance->rank || job.instance->network != job::own_network())
    return job::run_on_node(job.path, rank, command);
  TRY(job::enter_hpc_part(*job.instance, job.path));
  const Error error = execute(command);
  return report(session, error, exit_code_of(error));
}

void run(Session& session, const std::string& node, const std::vector<std::string>& command) {
  config::Config config;
  if (!session.load_for_job(&config)) return;
  const Result<int> code = run_in_part(session, config, node, command);
  session.exit_code = code ? *code : report(session, code.error(), kOwnFailure);
}

// As rsh: mpirun does not wait for it, so the job's end may come first, and is no news.
void rsh(Session& session, const std::string& node, const std::string& line) {
  constexpr int kConnectionLost = 255;
  config::Config config;
  if (!session.load_for_job(&config)) return;
  const Result<int> code = run_in_part(session, config, node, {"/bin/sh", "-c", line});
  if (code)
    session.exit_code = *code;
  else if (code.error().is(std::errc::connection_reset))
    session.exit_code = kConnectionLost;
  else
    session.exit_code = report(session, code.error(), kOwnFailure);
}

void print_environment(Session& session) {
  config::Config config;
  if (!session.load_for_job(&config)) return;
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
  if (!session.load_for_job(&config)) return;
  const Result<job::FoundJob> job = running_job(config);
  if (!job) {
    session.exit_code = report(session, job.error());
    return;
  }
  ::setenv("KUBECONFIG", (job->path + "/kubeconfig").c_str(), 1);
  ::setenv("KUBECACHEDIR", job::kubectl_cache(job->path).c_str(), 1);
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
  auto node = std::make_shared<std::string>();
  verb->add_option("--node", *node, "Where: n1, n2, ...; default: this node");
  verb->add_option("command", *command, "The command and its arguments, after --")->required();
  verb->callback([&session, node, command] { run(session, *node, *command); });
}

void add_rsh(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand(
      "rsh", "Run a command line by sh on a node: rsh NODE WORD..., for mpirun and its like");
  verb->prefix_command();  // what follows is the command's; the job comes from CONODE_JOB
  verb->footer("'conode run' and 'conode env' tell Open MPI to start its daemons with it.");
  verb->callback([&session, verb] {
    const std::vector<std::string> words = verb->remaining();
    if (words.size() < 2) throw CLI::RequiredError("rsh NODE WORD...");
    std::string line = words[1];
    for (size_t i = 2; i < words.size(); ++i) line += " " + words[i];
    rsh(session, words[0], line);
  });
}

void add_shell(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("shell", "A shell in the HPC part, with kubectl configured");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  verb->callback([&session] {
    const char* shell = std::getenv("SHELL");
    run(session, {}, {shell != nullptr && *shell != '\0' ? shell : "/bin/sh"});
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
