// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/pbs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/launch/resolve.h"

namespace conode::launch {
namespace {

class Pbs final : public Launcher {
 public:
  Pbs(const Options& options, std::string address, std::string program, TempDir tickets)
      : hosts_(options.hosts),
        address_(std::move(address)),
        program_(std::move(program)),
        tickets_(std::move(tickets)) {}

  [[nodiscard]] uint32_t size() const override { return static_cast<uint32_t>(hosts_.size()) + 1; }
  [[nodiscard]] std::string host(uint32_t rank) const override {
    return rank == 0 ? "this host" : hosts_.at(rank - 1);
  }
  [[nodiscard]] const std::string& address() const override { return address_; }
  [[nodiscard]] Result<Process> start(uint32_t rank, const Start& how) override;
  [[nodiscard]] Result<Process> run(uint32_t rank, const Command& command) override;

 private:
  std::vector<std::string> hosts_;
  std::string address_;
  std::string program_;
  TempDir tickets_;  // what nobody has fetched goes with it
};

Result<Process> Pbs::start(uint32_t rank, const Start& how) {
  const std::string ticket = fmt::format("{}/n{}", tickets_.path(), rank);
  TRY(replace_file(ticket, how.ticket, 0600));
  return Process::spawn({.argv = {"pbs_tmrsh", host(rank), program_, "agent", "--ticket", ticket},
                         .fds = {{1, how.log}, {2, how.log}},
                         .cgroup = how.cgroup,
                         .new_session = true});
}

// A task starts in the home directory.
Result<Process> Pbs::run(uint32_t rank, const Command& command) {
  std::vector<std::string> argv{
      "pbs_tmrsh", host(rank), "/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", command.working_dir};
  if (rank == 0) argv.clear();
  argv.insert(argv.end(), command.argv.begin(), command.argv.end());
  return Process::spawn({.argv = argv,
                         .environment = command.environment,
                         .working_dir = command.working_dir,
                         .fds = command.fds,
                         .new_session = true});
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
