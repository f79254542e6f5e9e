// SPDX-License-Identifier: Apache-2.0
// The one port of the host that may lead into the sandbox through the egress program: the uplink
// `fallback` is carried by it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "agent/base/result.h"

namespace conode::egress {

// UDP.
struct Inward {
  std::string interface;   // of the host
  std::string address;     // of that
  uint16_t host_port = 0;  // there
  uint16_t port = 0;       // in the sandbox
  std::string api_socket;  // where slirp4netns is told of it: a path that it makes
  int mtu = 0;             // bytes, of the interface
};

// With a port that is free now: nobody keeps it until the program has it. Fails where no interface
// of the calling thread's network namespace has `address`.
[[nodiscard]] Result<Inward> choose_inward(const std::string& address, uint16_t port);

// Tells a slirp4netns that runs (slirp4netns(1), "API"). pasta is told on its command line. Blocks
// for milliseconds; at most a second.
[[nodiscard]] Result<void> open_inward(const Inward& inward);

}  // namespace conode::egress
