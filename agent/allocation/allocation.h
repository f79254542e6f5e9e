// SPDX-License-Identifier: Apache-2.0
// The allocation that this process runs in, as its batch system tells: by environment, and by the
// batch system's own commands where only they know the format. Blocking; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"

namespace conode::allocation {

enum class System : uint8_t { none, slurm, flux, pbs };

// What this looks at; a value, so that tests need no batch system.
struct Surroundings {
  std::map<std::string, std::string> variables;
  // Standard output of a command.
  std::function<Result<std::string>(const std::vector<std::string>& argv)> ask;
  // A file.
  std::function<Result<std::string>(const std::string& path)> read;
  std::string host_name;  // this host's
};
// This process's.
[[nodiscard]] Surroundings surroundings();

struct Allocation {
  System system = System::none;
  std::string id;                  // of the job; usable as conode's name of it; empty: none
  std::vector<std::string> hosts;  // names that the batch system knows; this node's first
  std::vector<uint32_t> places;    // Flux: their brokers' ranks
  std::string address;             // Slurm: where it finds this node; empty where it is alone
  std::optional<std::chrono::system_clock::time_point> end;  // its time limit
};

// Empty where it is not set.
[[nodiscard]] std::string variable(const Surroundings& around, const char* name);

// The id alone, without asking anybody: empty outside of a job.
[[nodiscard]] System system_of(const Surroundings& around);
[[nodiscard]] std::string id_of(const Surroundings& around);

// Memory that the job may use on this node, in bytes, where the batch system says so in the
// environment; its cgroup may say less. Empty: it did not limit it, or does not tell.
[[nodiscard]] std::optional<uint64_t> memory_of(const Surroundings& around);

// Fails where the job is of a kind that conode does not start in, and says why.
[[nodiscard]] Result<Allocation> find_allocation(const Surroundings& around);

}  // namespace conode::allocation
