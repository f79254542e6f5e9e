// SPDX-License-Identifier: Apache-2.0
// conode down, conode sweep
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "agent/job/cleanup.h"
#include "agent/job/rpc_server.h"

namespace conode::cli {
namespace {

using nlohmann::json;

int tell_audit(const Session& session, const std::string& job, double seconds,
               const std::vector<std::string>& left) {
  if (session.json) {
    fmt::print("{}\n", json({{"job", job}, {"seconds", seconds}, {"left", left}}).dump());
  } else if (left.empty()) {
    fmt::print("job '{}' ended in {:.2f} s; audit: nothing is left\n", job, seconds);
  } else {
    fmt::print("job '{}' ended in {:.2f} s; audit: this is left:\n", job, seconds);
    for (const std::string& line : left) fmt::print("  {}\n", line);
  }
  return left.empty() ? 0 : kFailed;
}

// The other nodes too, where they are on this machine.
std::vector<std::string> audit_all(const std::string& base, const std::string& libexec,
                                   const job::FoundJob& job) {
  std::vector<std::string> left = job::audit(job);
  if (!job.instance || !job.instance->shared_machine) return left;
  job::wait_for_agent(job);  // it does the same
  for (const std::string& line : job::end_nodes_of(base, job.job, libexec)) left.push_back(line);
  return left;
}

Result<int> sweep_dead(const Session& session, const std::string& base, const job::FoundJob& job) {
  const auto begun = std::chrono::steady_clock::now();
  const std::string libexec = TRY(libexec_dir());
  job::SweepReport swept = TRY(job::sweep(base, libexec, job.job));
  if (!swept.failures.empty()) return tl::make_unexpected(std::move(swept.failures.front()));
  const std::vector<std::string> left = audit_all(base, libexec, job);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  return tell_audit(session, job.job, took.count(), left);
}

Result<int> down(const Session& session, const config::Config& config) {
  const job::FoundJob job = TRY(chosen_job(config));
  if (!job.alive) return sweep_dead(session, state_base(config), job);
  const agent::DownReply reply = TRY(job::request_down(job));
  // Ours, after the agent's own: it looks at the agent's end too.
  std::vector<std::string> left(reply.left().begin(), reply.left().end());
  const std::string libexec = TRY(libexec_dir());
  for (const std::string& line : audit_all(state_base(config), libexec, job)) left.push_back(line);
  return tell_audit(session, job.job, reply.seconds(), left);
}

Result<int> run_sweep(const Session& session, const config::Config& config) {
  const std::string libexec = TRY(libexec_dir());
  const job::SweepReport swept = TRY(job::sweep(state_base(config), libexec, config.job()));
  if (session.json) {
    json failures = json::array();
    for (const Error& e : swept.failures) failures.push_back(e.message());
    fmt::print(
        "{}\n",
        json({{"removed", swept.removed}, {"alive", swept.alive}, {"failures", failures}}).dump());
    return swept.failures.empty() ? 0 : kFailed;
  }
  for (const std::string& job : swept.removed) fmt::print("removed job '{}'\n", job);
  for (const std::string& job : swept.alive) fmt::print("left alone: job '{}' is running\n", job);
  for (const Error& error : swept.failures) report(session, error);
  if (swept.removed.empty() && swept.alive.empty() && swept.failures.empty())
    fmt::print("nothing to sweep\n");
  return swept.failures.empty() ? 0 : kFailed;
}

void call(Session& session, Result<int> (*verb)(const Session&, const config::Config&)) {
  config::Config config;
  if (!session.load_for_job(&config)) return;
  const Result<int> code = verb(session, config);
  session.exit_code = code ? *code : report(session, code.error());
}

}  // namespace

void add_down(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("down", "End a job, remove everything, prove it");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  add_json_flag(*verb, session);
  verb->callback([&session] { call(session, &down); });
}

void add_sweep(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("sweep", "Remove what jobs whose agent was killed have left");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  add_json_flag(*verb, session);
  verb->callback([&session] { call(session, &run_sweep); });
}

}  // namespace conode::cli
