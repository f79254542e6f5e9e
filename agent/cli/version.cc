// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/cli/session.h"
#include "agent/cli/verbs.h"

namespace conode::cli {

void add_version(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("version", "The version of conode");
  add_json_flag(*verb, session);
  verb->callback([&session] {
    if (session.json)
      fmt::print("{}\n", nlohmann::json({{"version", CONODE_VERSION}}).dump());
    else
      fmt::print("conode {}\n", CONODE_VERSION);
  });
}

}  // namespace conode::cli
