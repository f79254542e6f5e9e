// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "agent/cli/session.h"
#include "agent/cli/verbs.h"

namespace {

std::string wrong_usage(const CLI::App* app, const CLI::Error& error) {
  std::string verb;
  for (const CLI::App* sub : app->get_subcommands()) verb = " " + sub->get_name();
  return fmt::format("conode: {}\n  what to do: 'conode{} --help' tells what is understood\n",
                     error.what(), verb);
}

int run(int argc, char** argv) {
  conode::cli::Session session;
  CLI::App app("Kubernetes beside MPI in one batch allocation, without root", "conode");
  app.require_subcommand(1);
  app.fallthrough(false);
  app.failure_message(wrong_usage);
  app.set_version_flag("--version", "conode " CONODE_VERSION);
  app.footer("Every verb has --help. Manual: man conode.");
  app.add_option("--config", session.config_file, "Configuration file (YAML)");
  for (const auto add : {conode::cli::add_exec, conode::cli::add_up, conode::cli::add_down,
                         conode::cli::add_run, conode::cli::add_rsh, conode::cli::add_shell,
                         conode::cli::add_env, conode::cli::add_kubectl, conode::cli::add_status,
                         conode::cli::add_plan, conode::cli::add_doctor, conode::cli::add_logs,
                         conode::cli::add_image, conode::cli::add_expose, conode::cli::add_bundle,
                         conode::cli::add_sweep, conode::cli::add_version, conode::cli::add_agent})
    add(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : conode::cli::kUsage;
  }
  return session.exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {  // the last resort: out of memory, a library's surprise
    fmt::print(stderr, "conode: internal error: {}\n", e.what());
    return 70;
  }
}
