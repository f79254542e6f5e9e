// SPDX-License-Identifier: Apache-2.0
// The two ends of an edge of the tree as sockets: a child's Uplink (DEALER, one parent) and a
// parent's Downlink (ROUTER, many children). They know ranks and frames, no messages' meaning.
// On the loop of the executor.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <zmq.hpp>

#include "agent/base/result.h"
#include "agent/bus/context.h"
#include "agent/bus/counters.h"
#include "agent/bus/socket.h"
#include "agent/bus/tree.h"

namespace conode::bus {

struct Packet {
  Rank from = 0;       // as the handshake proved (Downlink)
  uint64_t epoch = 0;  // of the connection (Downlink)
  zmq::message_t envelope;
  zmq::message_t bulk;  // empty where there is no second frame
};

class Uplink {
 public:
  // `dead_after`: the kernel closes a connection to a host that is gone soon after it.
  // `ready`: something may be received, or the connection stands; on the loop.
  [[nodiscard]] static Result<std::shared_ptr<Uplink>> connect(
      const boost::asio::any_io_executor& executor, Context& context, Rank own_rank, uint64_t epoch,
      const std::string& endpoint, std::chrono::milliseconds dead_after,
      std::function<void()> ready);

  // The handshake is done and the connection stands.
  [[nodiscard]] bool connected() { return socket_->writable(); }
  [[nodiscard]] std::optional<Packet> receive();
  // False: not connected.
  bool send(const std::string& envelope);
  void recheck() { socket_->recheck(); }

 private:
  std::unique_ptr<Socket> socket_;
};

class Downlink {
 public:
  // Bound to a port of `address` that the kernel chooses.
  [[nodiscard]] static Result<std::unique_ptr<Downlink>> bind(
      const boost::asio::any_io_executor& executor, Context& context, const std::string& address,
      std::chrono::milliseconds dead_after, Counters& counters, std::function<void()> ready);

  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  // Empty optional: nothing there. Messages that no child of the job can have sent are counted.
  [[nodiscard]] std::optional<Packet> receive();
  // False: that connection is gone, or does not keep up.
  bool send(Rank child, uint64_t epoch, const std::string& envelope, zmq::message_t bulk = {});
  void recheck() { socket_->recheck(); }

 private:
  explicit Downlink(Counters& counters) : counters_(counters) {}
  Result<void> watch_handshakes(const boost::asio::any_io_executor& executor, Context& context,
                                zmq::socket_t& socket);
  void count_strangers();

  Counters& counters_;
  std::string endpoint_;
  std::unique_ptr<Socket> handshakes_;  // the monitor of socket_
  std::unique_ptr<Socket> socket_;
};

}  // namespace conode::bus
