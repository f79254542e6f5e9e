// SPDX-License-Identifier: Apache-2.0
// Sockets bound to addresses of the host. Where the agent is about to move into a network namespace
// of its own, a child stays behind in today's and binds them there: it gets an address, and hands
// the socket over (SCM_RIGHTS, unix(7)). It has no other descriptor, and dies with the agent. Any
// one thread.
#pragma once

#include <sched.h>

#include <cstdint>
#include <optional>
#include <string>

#include "agent/base/process.h"
#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/expose/service.h"

namespace conode::expose {

class HostSockets {
 public:
  // In the calling process's network namespace.
  HostSockets() = default;

  // In the network namespace that the calling process has now. It must not have threads; the child
  // runs on `affinity`, and dies with the calling thread.
  [[nodiscard]] static Result<HostSockets> keep(const cpu_set_t& affinity);

  // A socket bound to an IPv4 `address` (numeric) and `port` (0: a free one), listening where it is
  // TCP. EADDRINUSE, EACCES and the like come with their remedy.
  [[nodiscard]] Result<UniqueFd> bind(Protocol protocol, const std::string& address, uint16_t port);

 private:
  HostSockets(Process keeper, UniqueFd control)
      : keeper_(std::move(keeper)), control_(std::move(control)) {}

  std::optional<Process> keeper_;
  UniqueFd control_;
};

}  // namespace conode::expose
