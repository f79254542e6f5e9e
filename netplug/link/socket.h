// SPDX-License-Identifier: Apache-2.0
// One NETLINK_ROUTE socket (rtnetlink(7)), bound for life to the network namespace it was opened
// in. Used by one thread at a time; never carried across fork (both sides would read the other's
// answers: open a new one).
#pragma once

#include <memory>
#include <string>

#include "agent/base/result.h"
#include "netplug/link/netns.h"

struct nl_sock;
struct nl_msg;

namespace conode {

class Socket {
 public:
  // In the calling thread's namespace.
  [[nodiscard]] static Result<Socket> open();
  // In `netns`, without moving the calling thread.
  [[nodiscard]] static Result<Socket> open(const Netns& netns);

  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  ~Socket();

  // Sends one request and waits for the kernel's acknowledgement. A refusal carries the errno and
  // the kernel's own words where it gives some (NETLINK_EXT_ACK, Linux 4.12).
  [[nodiscard]] Result<void> request(nl_msg* message, const std::string& what);

  // For this folder's dumps.
  [[nodiscard]] nl_sock* native() const { return socket_.get(); }

 private:
  struct Close {
    void operator()(nl_sock* socket) const;
  };
  explicit Socket(nl_sock* socket) : socket_(socket) {}

  std::unique_ptr<nl_sock, Close> socket_;
};

}  // namespace conode
