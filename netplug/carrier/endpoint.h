// SPDX-License-Identifier: Apache-2.0
// Addresses of the host's network that carriers use, and sockets bound to them. Sockets are made in
// the calling thread's network namespace: the host's.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode::carrier {

struct Endpoint {
  sockaddr_storage address{};
  socklen_t length = 0;

  // "192.0.2.7:4000", "[2001:db8::7]:4000", "node7:4000". A name is resolved: blocks.
  [[nodiscard]] static Result<Endpoint> resolve(const std::string& text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] int family() const { return address.ss_family; }
  [[nodiscard]] uint16_t port() const;
  [[nodiscard]] Endpoint with_port(uint16_t port) const;
  [[nodiscard]] const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&address); }
  bool operator==(const Endpoint& other) const;
};

// Non-blocking, of `type`, bound to `at` (port 0: a free one).
[[nodiscard]] Result<UniqueFd> bound_socket(const Endpoint& at, int type);
// Where a socket is bound.
[[nodiscard]] Result<Endpoint> local_endpoint(int socket);

}  // namespace conode::carrier
