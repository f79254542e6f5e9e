// SPDX-License-Identifier: Apache-2.0
// A TCP port of the host that leads to an address in the sandbox. Bytes only: TLS and its client
// certificates are between the two ends. On the event loop's thread.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/services/sandbox_link.h"

namespace conode::services {

// A listening TCP socket at 127.0.0.1:`port` (0: a free one).
[[nodiscard]] Result<UniqueFd> listen_on_loopback(uint16_t port);
// Where a socket is bound.
[[nodiscard]] Result<uint16_t> port_of(const UniqueFd& socket);

// May this peer connect? Empty: everybody may.
using Admission = std::function<bool(const boost::asio::ip::address& peer)>;

// Its connections end with it.
class Forwarder {
 public:
  // `listener`: listening, taken over for the life of the object.
  [[nodiscard]] static std::unique_ptr<Forwarder> take(boost::asio::io_context& loop,
                                                       UniqueFd listener);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;
  [[nodiscard]] uint16_t port() const { return port_; }

  // From here on connections are taken and led to `address`:`port` in the sandbox.
  void serve(SandboxLink& link, std::string address, uint16_t port, Admission admit = {});

 private:
  struct Impl;
  Forwarder(std::shared_ptr<Impl> impl, uint16_t port) : impl_(std::move(impl)), port_(port) {}

  std::shared_ptr<Impl> impl_;  // shared with what runs: it may outlive us by a turn of the loop
  uint16_t port_;
};

}  // namespace conode::services
