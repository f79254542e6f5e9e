// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor/doctor.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/bundle/build.h"
#include "agent/bundle/bundle.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"

namespace conode::cli {
namespace {

using doctor::Finding;
using doctor::Verdict;

doctor::Environment environment_of(const config::Config& config) {
  doctor::Environment environment;
  environment.state_base = state_base(config);
  environment.bundle = config.bundle();
  environment.network_file_system = config.allow_network_file_system();
  environment.api_port = static_cast<uint16_t>(config.kubernetes().api_port());
  Result<std::string> path =
      environment.bundle.empty() ? bundle::find() : Result<std::string>(environment.bundle);
  if (path) {
    environment.bundle = *path;
    const Result<bundle::Bundle> verified = bundle::verify(*path, bundle::Level::fast);
    if (!verified) environment.bundle_problem = verified.error().message();
  } else {
    environment.bundle_problem = path.error().message();
  }
  return environment;
}

void print_text(const std::vector<Finding>& findings) {
  for (const Finding& f : findings) {
    fmt::print("{:<10}{:<22}{}\n", to_string(f.verdict), f.name, f.found);
    if (f.verdict == Verdict::ok) continue;
    fmt::print("{:<10}  costs: {}\n{:<10}  to do: {}\n", "", f.cost, "", f.remedy);
  }
}

void print_json(const std::vector<Finding>& findings) {
  nlohmann::json all = nlohmann::json::array();
  for (const Finding& f : findings)
    all.push_back({{"check", f.name},
                   {"verdict", to_string(f.verdict)},
                   {"found", f.found},
                   {"cost", f.cost},
                   {"remedy", f.remedy}});
  fmt::print("{}\n", all.dump(2));
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  CLI::App* verb =
      app.add_subcommand("doctor", "What this site may lack, what it costs, and what to do");
  config::add_flags(*verb, session.flags,
                    {"state_dir", "bundle", "allow_network_file_system", "kubernetes.api_port"});
  add_json_flag(*verb, session);
  verb->footer("The exit code is 1 where something is missing without which no cluster starts.");
  verb->callback([&session] {
    config::Config config;
    if (!session.load(&config)) return;
    const std::vector<Finding> findings = doctor::examine(environment_of(config));
    session.json ? print_json(findings) : print_text(findings);
    session.exit_code = std::any_of(findings.begin(), findings.end(),
                                    [](const Finding& f) { return f.verdict == Verdict::missing; });
  });
}

}  // namespace conode::cli
