// SPDX-License-Identifier: Apache-2.0
// A UDP port of the host that leads to an address in the sandbox: each client has a socket there of
// its own, for as long as it or the other side talks. On the event loop's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "agent/base/unique_fd.h"
#include "agent/services/forwarder.h"
#include "agent/services/sandbox_link.h"

namespace conode::expose {

// A client that has been silent for so long is forgotten (nf_conntrack's time for a UDP stream).
inline constexpr std::chrono::seconds kDatagramIdle{120};
inline constexpr size_t kMostDatagramSessions = 1024;

class DatagramForwarder {
 public:
  // `socket`: bound, taken over. From here on datagrams are led to `address`:`port`.
  DatagramForwarder(boost::asio::io_context& loop, UniqueFd socket, services::SandboxLink& link,
                    std::string address, uint16_t port, services::Admission admit);
  ~DatagramForwarder();
  DatagramForwarder(const DatagramForwarder&) = delete;
  DatagramForwarder& operator=(const DatagramForwarder&) = delete;

  [[nodiscard]] uint16_t port() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with what runs: it may outlive us by a turn of the loop
};

}  // namespace conode::expose
