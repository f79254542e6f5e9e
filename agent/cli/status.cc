// SPDX-License-Identifier: Apache-2.0
// conode status
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/cli/exposed.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "agent/containerd/containerd.h"
#include "agent/job/rpc_server.h"

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
  fmt::print("  egress      {}\n", s.egress());
  if (!s.nodes().empty()) fmt::print("  node n0     this one: the control plane\n");
  for (const agent::Node& node : s.nodes())
    fmt::print("  node {:<7}{}: {}{}\n", node.name(), node.host(), node.state(),
               node.trouble().empty() ? "" : "; " + node.trouble());
  print_exposed(s);
  print_part("HPC", s.hpc());
  print_part("Kubernetes", s.kubernetes());
  fmt::print("\n{:<26}{:<12}{:>8}{:>10}{:>10}\n", "SERVICE", "STATE", "PID", "RESTARTS", "READY");
  for (const agent::Service& service : s.services())
    fmt::print("{:<26}{:<12}{:>8}{:>10}{:>9.2f}s\n", service.name(), service.state(), service.pid(),
               service.restarts(), service.ready_after());
}

void print_bad_ends(const agent::StatusReply& s) {
  if (s.container_ends().empty()) return;
  fmt::print("\n{:<10}{:<60}{}\n", "ENDED", "CONTAINER", "HOW");
  for (const agent::ContainerEnd& end : s.container_ends()) {
    fmt::print("{:%H:%M:%S}  {:<60}{}\n", fmt::localtime(static_cast<time_t>(end.time())),
               end.name().empty() ? end.container() : end.name(), end.what());
  }
}

void print_containers(const std::vector<containerd::Container>& containers) {
  if (containers.empty()) return;
  fmt::print("\n{:<34}{:<26}{:<12}{:>8}\n", "POD", "CONTAINER", "STATE", "PID");
  for (const auto& c : containers)
    fmt::print("{:<34}{:<26}{:<12}{:>8}\n", c.pod_namespace + "/" + c.pod_name,
               c.sandbox ? "(sandbox)" : c.name, to_string(c.status), c.pid);
}

// The reply as Protobuf's JSON, with this node's containers beside it.
void print_json(const agent::StatusReply& s, const std::vector<containerd::Container>& containers) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(s, &text, options);
  nlohmann::ordered_json all = nlohmann::ordered_json::parse(text);
  all["containers"] = nlohmann::json::array();
  for (const auto& c : containers)
    all["containers"].push_back({{"id", c.id},
                                 {"pod_namespace", c.pod_namespace},
                                 {"pod", c.pod_name},
                                 {"name", c.name},
                                 {"sandbox", c.sandbox},
                                 {"state", to_string(c.status)},
                                 {"pid", c.pid}});
  fmt::print("{}\n", all.dump(2));
}

Result<void> status(const Session& session, const config::Config& config) {
  const job::FoundJob job = TRY(running_job(config));
  const agent::StatusReply reply = TRY(job::request_status(job));
  containerd::ContainerdClient client(job.path + "/run/containerd.sock");
  const std::vector<containerd::Container> containers =
      client.containers().value_or(std::vector<containerd::Container>());
  if (session.json) {
    print_json(reply, containers);
    return {};
  }
  print_text(reply);
  print_containers(containers);
  print_bad_ends(reply);
  return {};
}

}  // namespace

void add_status(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("status", "How the job's cluster and its parts are");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  add_json_flag(*verb, session);
  verb->callback([&session] {
    config::Config config;
    if (!session.load_for_job(&config)) return;
    const Result<void> done = status(session, config);
    if (!done) session.exit_code = report(session, done.error());
  });
}

}  // namespace conode::cli
