// SPDX-License-Identifier: Apache-2.0
// One function a verb: adds it to the command line. Its callback runs it and sets
// Session::exit_code.
#pragma once

namespace CLI {
class App;
}

namespace conode::cli {

struct Session;

void add_agent(CLI::App& app, Session& session);
void add_up(CLI::App& app, Session& session);
void add_exec(CLI::App& app, Session& session);
void add_down(CLI::App& app, Session& session);
void add_run(CLI::App& app, Session& session);
void add_rsh(CLI::App& app, Session& session);
void add_shell(CLI::App& app, Session& session);
void add_env(CLI::App& app, Session& session);
void add_kubectl(CLI::App& app, Session& session);
void add_status(CLI::App& app, Session& session);
void add_plan(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);
void add_logs(CLI::App& app, Session& session);
void add_image(CLI::App& app, Session& session);
void add_expose(CLI::App& app, Session& session);
void add_bundle(CLI::App& app, Session& session);
void add_sweep(CLI::App& app, Session& session);
void add_version(CLI::App& app, Session& session);

}  // namespace conode::cli
