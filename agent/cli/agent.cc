// SPDX-License-Identifier: Apache-2.0
// conode agent: the agent of another node than rank 0's, as launchers start it. Not for people.
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "agent/base/file.h"
#include "agent/cli/agent_options.h"
#include "agent/cli/session.h"
#include "agent/cli/stand_in.h"
#include "agent/cli/verbs.h"

namespace conode::cli {
namespace {

// Read once: it goes, and with the last one their directory.
Result<UniqueFd> take_ticket_file(const std::string& path) {
  UniqueFd file = TRY_AS(
      "fetch this node's ticket, which the first node has left in the home "
      "directory that all nodes are to share",
      open_at(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW));
  (void)::unlink(path.c_str());
  (void)::rmdir(path.substr(0, path.rfind('/')).c_str());
  return file;
}

// `path`: empty: standard input.
Result<agent::Ticket> read_ticket(const std::string& path) {
  const UniqueFd file = path.empty() ? UniqueFd() : TRY(take_ticket_file(path));
  const int input = file ? file.get() : STDIN_FILENO;
  agent::Ticket ticket;
  if (::isatty(input) != 0 || !ticket.ParseFromFileDescriptor(input) || ticket.rank() == 0)
    return failure("read the ticket: there is none",
                   "'conode up' starts the agents of all nodes itself");
  return ticket;
}

Result<job::Outcome> run(const std::string& ticket_path) {
  const agent::Ticket ticket = TRY(read_ticket(ticket_path));
  TRY(leave_stand_in(SIGTERM));
  job::AgentOptions options = TRY(agent_options(ticket));
  // What a local launcher left us for writing id maps is not for what we execute.
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return job::run_agent(std::move(options));
}

}  // namespace

void add_agent(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("agent", "");
  verb->group("");  // hidden
  const auto ticket = std::make_shared<std::string>();
  verb->add_option("--ticket", *ticket, "A file, instead of standard input");
  verb->callback([&session, ticket] {
    const Result<job::Outcome> outcome = run(*ticket);
    if (!outcome) {
      session.exit_code = report(session, outcome.error());
    } else if (outcome->failure) {
      session.exit_code = report(session, *outcome->failure);
    }
  });
}

}  // namespace conode::cli
