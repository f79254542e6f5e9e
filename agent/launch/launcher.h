// SPDX-License-Identifier: Apache-2.0
// How agents get onto the other nodes of an allocation. Rank 0 is the node of the caller; ranks
// from 1 on are started by the launcher, each as `conode agent` with its ticket on standard input:
// a secret that is neither in a command line nor in an environment nor in a file with a name.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/process.h"
#include "agent/base/result.h"

namespace conode::launch {

enum class Kind : uint8_t { none, local, ssh, srun, flux, pbs };

struct Options {
  Kind kind = Kind::none;
  uint32_t nodes = 1;              // local: how many, rank 0 included
  std::vector<std::string> hosts;  // ssh and batch systems: of ranks 1 and up
  std::vector<uint32_t> brokers;   // flux: of those, the brokers' ranks
  std::string ssh_config;          // ssh -F; empty: ssh's own
  std::string address;             // of this node on the fabric; empty: found
  std::string own_name;            // srun: where the others find this node, if `address` is empty
};

struct Start {
  std::string ticket;  // what its standard input gives
  int log = -1;        // where both outputs go
  int cgroup = -1;     // directory fd; -1: the caller's
};

// A program of the user's.
struct Command {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // "NAME=value"; does not travel to another machine
  std::string working_dir;
  std::map<int, int> fds;  // standard input and outputs -> our descriptors
};

class Launcher {
 public:
  Launcher() = default;
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  virtual ~Launcher() = default;

  // Nodes, rank 0 included.
  [[nodiscard]] virtual uint32_t size() const = 0;
  // What the user calls the node of a rank.
  [[nodiscard]] virtual std::string host(uint32_t rank) const = 0;
  // IPv4 address of this node at which the others find it.
  [[nodiscard]] virtual const std::string& address() const = 0;
  // Starts the agent of `rank` (1 and up). The child is the agent, or the program that leads to it
  // and ends with it.
  [[nodiscard]] virtual Result<Process> start(uint32_t rank, const Start& how) = 0;
  // Starts a program on the node of `rank` (0 and up), on all CPUs of the allocation, with the
  // user's rights. The child is the program, or one that ends with its exit code.
  [[nodiscard]] virtual Result<Process> run(uint32_t rank, const Command& command) = 0;
};

// May move the calling process into namespaces of its own (local), so: before it has threads.
// Null for Kind::none.
[[nodiscard]] Result<std::unique_ptr<Launcher>> make_launcher(const Options& options);

// The address of this machine from which `destination` (IPv4, numeric) is reached.
[[nodiscard]] Result<std::string> address_towards(const std::string& destination);

}  // namespace conode::launch
