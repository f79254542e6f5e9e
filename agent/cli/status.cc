// SPDX-License-Identifier: Apache-2.0
// conode status, conode logs
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>

#include "agent/base/file.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "agent/containerd/containerd.h"
#include "agent/job/rpc_server.h"
#include "agent/services/failure_report.h"

namespace conode::cli {
namespace {

std::string mebibytes(uint64_t bytes) { return fmt::format("{} MiB", bytes >> 20U); }

void print_part(const char* name, const agent::Part& part) {
  fmt::print("  {:<12}cores {:<12}memory {:<12}{}\n", name, part.cpus().empty() ? "-" : part.cpus(),
             mebibytes(part.memory_bytes()), part.cgroup());
}

void print_text(const agent::StatusReply& s) {
  fmt::print("job {}: {}\n", s.job(), s.state());
  fmt::print("  API         {}  (KUBECONFIG={})\n", s.server(), s.kubeconfig());
  fmt::print("  enforcement {}{}\n", s.enforcement(),
             s.enforcement_reason().empty() ? "" : "; " + s.enforcement_reason());
  fmt::print("  user ids    {}\n",
             s.subordinate_ids() ? "own and subordinate" : "own only (no subordinate ids)");
  fmt::print("  uplink      {}\n", s.uplink());
  for (const agent::Node& node : s.nodes())
    fmt::print("  node {:<7}{}: {}{}\n", node.name(), node.host(), node.state(),
               node.trouble().empty() ? "" : "; " + node.trouble());
  print_part("HPC", s.hpc());
  print_part("Kubernetes", s.kubernetes());
  fmt::print("\n{:<26}{:<12}{:>8}{:>10}{:>10}\n", "SERVICE", "STATE", "PID", "RESTARTS", "READY");
  for (const agent::Service& service : s.services())
    fmt::print("{:<26}{:<12}{:>8}{:>10}{:>9.2f}s\n", service.name(), service.state(), service.pid(),
               service.restarts(), service.ready_after());
}

void print_bad_ends(const agent::StatusReply& s,
                    const std::vector<containerd::Container>& containers) {
  if (s.container_ends().empty()) return;
  fmt::print("\n{:<10}{:<60}{}\n", "ENDED", "CONTAINER", "HOW");
  for (const agent::ContainerEnd& end : s.container_ends()) {
    std::string name = end.container();
    for (const containerd::Container& c : containers)
      if (c.id == name) name = fmt::format("{}/{} {}", c.pod_namespace, c.pod_name, c.name);
    fmt::print("{:%H:%M:%S}  {:<60}{}\n", fmt::localtime(static_cast<time_t>(end.time())), name,
               end.what());
  }
}

void print_containers(const std::string& job_path, const agent::StatusReply& s) {
  containerd::ContainerdClient client(job_path + "/run/containerd.sock");
  const auto containers = client.containers();
  if (!containers || containers->empty()) return;
  fmt::print("\n{:<34}{:<26}{:<12}{:>8}\n", "POD", "CONTAINER", "STATE", "PID");
  for (const auto& c : *containers)
    fmt::print("{:<34}{:<26}{:<12}{:>8}\n", c.pod_namespace + "/" + c.pod_name,
               c.sandbox ? "(sandbox)" : c.name, to_string(c.status), c.pid);
  print_bad_ends(s, *containers);
}

Result<void> status(const Session& session, const config::Config& config) {
  const job::FoundJob job = TRY(running_job(config));
  const agent::StatusReply reply = TRY(job::request_status(job.path + "/agent.sock"));
  if (!session.json) {
    print_text(reply);
    print_containers(job.path, reply);
    return {};
  }
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(reply, &text, options);
  fmt::print("{}", text);
  return {};
}

// Copies what is added to the file until the user interrupts.
Result<void> follow(const std::string& path) {
  const UniqueFd file = TRY(open_at(AT_FDCWD, path, O_RDONLY));
  const UniqueFd changes(::inotify_init1(IN_CLOEXEC));
  if (!changes || ::inotify_add_watch(changes.get(), path.c_str(), IN_MODIFY | IN_DELETE_SELF) < 0)
    return errno_failure(fmt::format("follow '{}'", path));
  std::array<char, 16384> buffer{};
  for (;;) {
    for (ssize_t n = 0; (n = ::read(file.get(), buffer.data(), buffer.size())) > 0;)
      TRY(write_all(STDOUT_FILENO, {buffer.data(), static_cast<size_t>(n)}, "standard output"));
    if (!exists(path)) return {};  // the job ended
    if (::read(changes.get(), buffer.data(), buffer.size()) < 0 && errno != EINTR)
      return errno_failure(fmt::format("follow '{}'", path));
  }
}

struct LogsOptions {
  std::string service;
  int lines = 0;
  bool follow = false;
};

Result<void> logs(const LogsOptions& options, const config::Config& config) {
  const job::FoundJob job = TRY(chosen_job(config));
  const std::string dir = job.path + "/log";
  if (options.service.empty()) {
    for (const std::string& name : TRY(list_dir(dir)))
      fmt::print("{}\n", name.substr(0, name.rfind('.')));
    return {};
  }
  const std::string path = fmt::format("{}/{}.log", dir, options.service);
  if (options.service.find('/') != std::string::npos || !exists(path))
    return failure(fmt::format("read the log of '{}': there is none", options.service),
                   "'conode logs' without a name lists the services");
  if (options.follow) return follow(path);
  const std::string text = TRY(read_file(path));
  fmt::print("{}\n", options.lines > 0 ? services::last_lines(text, options.lines) : text);
  return {};
}

}  // namespace

void add_status(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("status", "How the job's cluster and its parts are");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  add_json_flag(*verb, session);
  verb->callback([&session] {
    config::Config config;
    if (!session.load(&config)) return;
    const Result<void> done = status(session, config);
    if (!done) session.exit_code = report(session, done.error());
  });
}

void add_logs(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("logs", "Logs of the services and of the agent");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  auto options = std::make_shared<LogsOptions>();
  verb->add_option("service", options->service, "Without one, the names are listed");
  verb->add_option("-n,--lines", options->lines, "Only the last lines");
  verb->add_flag("-f,--follow", options->follow, "Go on with what is added");
  verb->callback([&session, options] {
    config::Config config;
    if (!session.load(&config)) return;
    const Result<void> done = logs(*options, config);
    if (!done) session.exit_code = report(session, done.error());
  });
}

}  // namespace conode::cli
