// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/flux.h"

#include <fmt/format.h>

#include "agent/base/command.h"
#include "agent/launch/remote.h"
#include "agent/launch/resolve.h"

namespace conode::launch {
namespace {

class Flux final : public Remote {
 public:
  Flux(const Options& options, std::string address, std::string program)
      : Remote(options.hosts, std::move(address), std::move(program)), brokers_(options.brokers) {}

 private:
  [[nodiscard]] std::vector<std::string> over_there(uint32_t rank,
                                                    const std::vector<std::string>& argv,
                                                    const std::string& working_dir) const override;

  std::vector<uint32_t> brokers_;
};

// Standard input, the environment and SIGTERM travel with it.
std::vector<std::string> Flux::over_there(uint32_t rank, const std::vector<std::string>& argv,
                                          const std::string& working_dir) const {
  std::vector<std::string> command{"flux", "exec", fmt::format("--rank={}", brokers_.at(rank - 1)),
                                   "--dir=" + (working_dir.empty() ? "/" : working_dir)};
  command.insert(command.end(), argv.begin(), argv.end());
  return command;
}

}  // namespace

Result<std::unique_ptr<Launcher>> make_flux(const Options& options) {
  if (find_program("flux").empty())
    return failure("start agents by flux exec: there is no flux here",
                   "put it into PATH, or take --launcher ssh");
  std::string address = options.address;
  if (address.empty()) address = TRY(own_address_towards(options.hosts.front()));
  return std::make_unique<Flux>(options, std::move(address), TRY(own_program()));
}

}  // namespace conode::launch
