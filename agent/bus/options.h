// SPDX-License-Identifier: Apache-2.0
// What one agent's bus is told at its start.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "agent/bus/bus.pb.h"
#include "agent/bus/tree.h"

namespace conode::bus {

struct Timing {
  std::chrono::milliseconds heartbeat{1000};  // between neighbours, each way
  // Silence after which a neighbour counts as dead. One whose connection breaks is noticed at the
  // next heartbeat already.
  std::chrono::milliseconds dead_after{5000};
  // How long an agent tries to get into the tree at its start before it counts rank 0 as lost.
  std::chrono::milliseconds attach_within{60000};
  // How long an agent waits for a parent that has not come yet before an ancestor adopts it.
  std::chrono::milliseconds adopt_after{5000};
  // How long an inner node gathers what goes up before it sends it on.
  std::chrono::milliseconds gather_for{2};
};

struct BusOptions {
  Rank rank = 0;
  uint32_t size = 1;
  uint32_t arity = 8;
  std::string bind_address = "127.0.0.1";  // IPv4 or IPv6, numeric; the port is the kernel's choice
  std::string root_endpoint;               // rank 0's "tcp://ADDRESS:PORT"; unused at rank 0
  Hello hello;                             // rank is filled in
  std::string file_dir;                    // received files; empty: they are refused
  Timing timing;
};

}  // namespace conode::bus
