// SPDX-License-Identifier: Apache-2.0
// A port of the host's loopback that leads to an address in the sandbox. Bytes only: TLS and its
// client certificates are between the two ends. On the event loop's thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/services/sandbox_link.h"

namespace conode::services {

// A listening TCP socket at 127.0.0.1:`port` (0: a free one).
[[nodiscard]] Result<UniqueFd> listen_on_loopback(uint16_t port);
// Where it listens.
[[nodiscard]] Result<uint16_t> port_of(const UniqueFd& listener);

class Forwarder {
 public:
  // `listener`: from listen_on_loopback(), taken over for the life of the object.
  [[nodiscard]] static std::unique_ptr<Forwarder> take(boost::asio::io_context& loop,
                                                       UniqueFd listener);
  [[nodiscard]] uint16_t port() const { return port_; }

  // From here on connections are taken and led to `address`:`port` in the sandbox.
  void serve(SandboxLink& link, std::string address, uint16_t port);

 private:
  Forwarder(boost::asio::ip::tcp::acceptor acceptor, uint16_t port)
      : acceptor_(std::move(acceptor)), port_(port) {}
  boost::asio::awaitable<void> accept_all(SandboxLink& link, std::string address, uint16_t port);

  boost::asio::ip::tcp::acceptor acceptor_;
  uint16_t port_;
};

}  // namespace conode::services
