// SPDX-License-Identifier: Apache-2.0
// conode agent: the agent of another node than rank 0's, as launchers start it. Not for people.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "agent/base/file.h"
#include "agent/cli/agent_options.h"
#include "agent/cli/session.h"
#include "agent/cli/stand_in.h"
#include "agent/cli/verbs.h"

namespace conode::cli {
namespace {

Result<agent::Ticket> read_ticket() {
  agent::Ticket ticket;
  if (::isatty(STDIN_FILENO) != 0 || !ticket.ParseFromFileDescriptor(STDIN_FILENO) ||
      ticket.rank() == 0)
    return failure("read the ticket from standard input: there is none",
                   "'conode up' starts the agents of all nodes itself");
  return ticket;
}

Result<job::Outcome> run() {
  const agent::Ticket ticket = TRY(read_ticket());
  TRY(leave_stand_in());
  job::AgentOptions options = TRY(agent_options(ticket));
  // What a local launcher left us for writing id maps is not for what we execute.
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return job::run_agent(std::move(options));
}

}  // namespace

void add_agent(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("agent", "");
  verb->group("");  // hidden
  verb->callback([&session] {
    const Result<job::Outcome> outcome = run();
    if (!outcome) {
      session.exit_code = report(session, outcome.error());
    } else if (outcome->failure) {
      session.exit_code = report(session, *outcome->failure);
    }
  });
}

}  // namespace conode::cli
