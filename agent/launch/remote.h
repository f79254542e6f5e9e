// SPDX-License-Identifier: Apache-2.0
// What launchers have in common that get onto other hosts by a program. It carries standard input,
// output and exit code (ssh, srun, flux exec; pbs_tmrsh the exit code alone).
#pragma once

#include <string>
#include <vector>

#include "agent/launch/launcher.h"

namespace conode::launch {

class Remote : public Launcher {
 public:
  [[nodiscard]] uint32_t size() const override { return static_cast<uint32_t>(hosts_.size()) + 1; }
  [[nodiscard]] std::string host(uint32_t rank) const override {
    return rank == 0 ? "this host" : hosts_.at(rank - 1);
  }
  [[nodiscard]] const std::string& address() const override { return address_; }
  [[nodiscard]] Result<Process> start(uint32_t rank, const Start& how) override;
  [[nodiscard]] Result<Process> run(uint32_t rank, const Command& command) override;

 protected:
  // `hosts`: of ranks 1 and up. `address`: of this node on the fabric. `program`: conode, on all
  // hosts.
  Remote(std::vector<std::string> hosts, std::string address, std::string program)
      : hosts_(std::move(hosts)), address_(std::move(address)), program_(std::move(program)) {}

  [[nodiscard]] const std::string& program() const { return program_; }

 private:
  // The program and its arguments, by which `argv` runs on the host of `rank` (1 and up); empty
  // `working_dir`: wherever.
  [[nodiscard]] virtual std::vector<std::string> over_there(
      uint32_t rank, const std::vector<std::string>& argv,
      const std::string& working_dir) const = 0;

  std::vector<std::string> hosts_;
  std::string address_;
  std::string program_;
};

}  // namespace conode::launch
