// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/ssh.h"

#include <fmt/format.h>
#include <unistd.h>

#include "agent/base/command.h"
#include "agent/launch/resolve.h"
#include "agent/launch/ticket_file.h"

namespace conode::launch {
namespace {

class Ssh final : public Launcher {
 public:
  Ssh(const Options& options, std::string program)
      : hosts_(options.hosts), config_(options.ssh_config), program_(std::move(program)) {}

  [[nodiscard]] Result<void> find_address(const std::string& configured);
  [[nodiscard]] uint32_t size() const override { return static_cast<uint32_t>(hosts_.size()) + 1; }
  [[nodiscard]] std::string host(uint32_t rank) const override {
    return rank == 0 ? "this host" : hosts_.at(rank - 1);
  }
  [[nodiscard]] const std::string& address() const override { return address_; }
  [[nodiscard]] Result<Process> start(uint32_t rank, const Start& how) override;
  [[nodiscard]] Result<Process> run(uint32_t rank, const Command& command) override;

 private:
  [[nodiscard]] std::vector<std::string> command_on(uint32_t rank, const std::string& text) const;
  [[nodiscard]] std::vector<std::string> command() const {
    std::vector<std::string> words{"ssh"};
    if (!config_.empty()) words.insert(words.end(), {"-F", config_});
    return words;
  }

  std::vector<std::string> hosts_;
  std::string config_;
  std::string program_;
  std::string address_;
};

// The name behind the user's alias is ssh's to say.
Result<void> Ssh::find_address(const std::string& configured) {
  address_ = configured;
  if (!address_.empty()) return {};
  std::vector<std::string> ask = command();
  ask.insert(ask.end(), {"-G", hosts_.front()});
  const std::string settings = TRY(command_output(ask));
  constexpr std::string_view kKey = "\nhostname ";
  const size_t at = ("\n" + settings).find(kKey);
  if (at == std::string::npos)
    return failure(fmt::format("ask ssh about host '{}': it names no hostname", hosts_.front()));
  const size_t begin = at + kKey.size() - 1;
  const std::string name = settings.substr(begin, settings.find('\n', begin) - begin);
  const std::string other = TRY(resolve(name));
  address_ = TRY(address_towards(other));
  return {};
}

// Nobody is there to answer a question; a host that is gone is noticed after 15 s of silence.
std::vector<std::string> Ssh::command_on(uint32_t rank, const std::string& text) const {
  std::vector<std::string> argv = command();
  for (const char* option :
       {"BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=5", "ServerAliveCountMax=3"})
    argv.insert(argv.end(), {"-o", option});
  argv.insert(argv.end(), {"-T", hosts_.at(rank - 1), text});
  return argv;
}

Result<Process> Ssh::start(uint32_t rank, const Start& how) {
  const UniqueFd standard_input = TRY(ticket_file(how.ticket));
  return Process::spawn({.argv = command_on(rank, shell_quoted(program_) + " agent"),
                         .fds = {{0, standard_input.get()}, {1, how.log}, {2, how.log}},
                         .cgroup = how.cgroup,
                         .new_session = true});
}

Result<Process> Ssh::run(uint32_t rank, const Command& command) {
  ProcessOptions options{.argv = command.argv,
                         .environment = command.environment,
                         .working_dir = command.working_dir,
                         .fds = command.fds,
                         .new_session = true};
  if (rank == 0) return Process::spawn(options);
  std::string text = fmt::format("cd {} && exec", shell_quoted(command.working_dir));
  for (const std::string& word : command.argv) text += " " + shell_quoted(word);
  options.argv = command_on(rank, text);
  return Process::spawn(options);
}

}  // namespace

Result<std::unique_ptr<Launcher>> make_ssh(const Options& options) {
  if (find_program("ssh").empty())
    return failure("start agents by ssh: there is no ssh here", "install it (openssh-client)");
  auto ssh = std::make_unique<Ssh>(options, TRY(own_program()));
  TRY(ssh->find_address(options.address));
  return ssh;
}

}  // namespace conode::launch
