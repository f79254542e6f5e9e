// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/pbs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/launch/remote.h"
#include "agent/launch/resolve.h"

namespace conode::launch {
namespace {

class Pbs final : public Remote {
 public:
  Pbs(const Options& options, std::string address, std::string program, TempDir tickets)
      : Remote(options.hosts, std::move(address), std::move(program)),
        tickets_(std::move(tickets)) {}

  [[nodiscard]] Result<Process> start(uint32_t rank, const Start& how) override;

 private:
  [[nodiscard]] std::vector<std::string> over_there(uint32_t rank,
                                                    const std::vector<std::string>& argv,
                                                    const std::string& working_dir) const override;

  TempDir tickets_;  // what nobody has fetched goes with it
};

Result<Process> Pbs::start(uint32_t rank, const Start& how) {
  const std::string ticket = fmt::format("{}/n{}", tickets_.path(), rank);
  TRY(replace_file(ticket, how.ticket, 0600));
  return Process::spawn({.argv = over_there(rank, {program(), "agent", "--ticket", ticket}, {}),
                         .fds = {{1, how.log}, {2, how.log}},
                         .cgroup = how.cgroup,
                         .new_session = true});
}

// A task starts in the home directory.
std::vector<std::string> Pbs::over_there(uint32_t rank, const std::vector<std::string>& argv,
                                         const std::string& working_dir) const {
  std::vector<std::string> command{"pbs_tmrsh", host(rank)};
  if (!working_dir.empty())
    command.insert(command.end(), {"/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", working_dir});
  command.insert(command.end(), argv.begin(), argv.end());
  return command;
}

Result<std::string> home() {
  const passwd* user = ::getpwuid(::getuid());
  if (user == nullptr || user->pw_dir == nullptr)
    return failure(fmt::format("find the home directory of user {}", ::getuid()));
  return std::string(user->pw_dir);
}

}  // namespace

Result<std::unique_ptr<Launcher>> make_pbs(const Options& options) {
  if (find_program("pbs_tmrsh").empty())
    return failure("start agents by pbs_tmrsh: there is no pbs_tmrsh here",
                   "put PBS's commands into PATH, or take --launcher ssh");
  std::string address = options.address;
  if (address.empty()) address = TRY(own_address_towards(options.hosts.front()));
  TempDir tickets = TRY_AS("keep the agents' tickets in the home directory",
                           TempDir::create_in(TRY(home()), ".conode-tickets"));
  return std::make_unique<Pbs>(options, std::move(address), TRY(own_program()), std::move(tickets));
}

}  // namespace conode::launch
