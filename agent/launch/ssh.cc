// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/ssh.h"

#include <fmt/format.h>

#include "agent/base/command.h"
#include "agent/launch/remote.h"
#include "agent/launch/resolve.h"

namespace conode::launch {
namespace {

std::vector<std::string> ssh_command(const std::string& config) {
  std::vector<std::string> words{"ssh"};
  if (!config.empty()) words.insert(words.end(), {"-F", config});
  return words;
}

class Ssh final : public Remote {
 public:
  Ssh(const Options& options, std::string address, std::string program)
      : Remote(options.hosts, std::move(address), std::move(program)),
        config_(options.ssh_config) {}

 private:
  [[nodiscard]] std::vector<std::string> over_there(uint32_t rank,
                                                    const std::vector<std::string>& argv,
                                                    const std::string& working_dir) const override;

  std::string config_;
};

// Nobody is there to answer a question; a host that is gone is noticed after 15 s of silence.
std::vector<std::string> Ssh::over_there(uint32_t rank, const std::vector<std::string>& argv,
                                         const std::string& working_dir) const {
  std::vector<std::string> command = ssh_command(config_);
  for (const char* option :
       {"BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=5", "ServerAliveCountMax=3"})
    command.insert(command.end(), {"-o", option});
  std::string line =
      working_dir.empty() ? "exec" : fmt::format("cd {} && exec", shell_quoted(working_dir));
  for (const std::string& word : argv) line += " " + shell_quoted(word);
  command.insert(command.end(), {"-T", host(rank), line});
  return command;
}

// The name behind the user's alias is ssh's to say.
Result<std::string> find_address(const Options& options) {
  if (!options.address.empty()) return options.address;
  const std::string& first = options.hosts.front();
  std::vector<std::string> ask = ssh_command(options.ssh_config);
  ask.insert(ask.end(), {"-G", first});
  const std::string settings = TRY(command_output(ask));
  constexpr std::string_view kKey = "\nhostname ";
  const size_t at = ("\n" + settings).find(kKey);
  if (at == std::string::npos)
    return failure(fmt::format("ask ssh about host '{}': it names no hostname", first));
  const size_t begin = at + kKey.size() - 1;
  const std::string name = settings.substr(begin, settings.find('\n', begin) - begin);
  return own_address_towards(name);
}

}  // namespace

Result<std::unique_ptr<Launcher>> make_ssh(const Options& options) {
  if (find_program("ssh").empty())
    return failure("start agents by ssh: there is no ssh here", "install it (openssh-client)");
  return std::make_unique<Ssh>(options, TRY(find_address(options)), TRY(own_program()));
}

}  // namespace conode::launch
