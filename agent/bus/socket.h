// SPDX-License-Identifier: Apache-2.0
// A ZeroMQ socket on a Boost.Asio loop. ZMQ_FD is edge-triggered (zmq_getsockopt(3)): it says that
// something happened, once, and any call on the socket may use that up. So `ready` is called until
// ZMQ_EVENTS says that nothing is left, and recheck() must follow sends.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <zmq.hpp>

#include "agent/base/result.h"

namespace conode::bus {

// The failure that libzmq's exception tells.
[[nodiscard]] Failure zmq_failure(const zmq::error_t& error, std::string context);

enum class Sent : uint8_t { yes, unreachable, no };  // no: the peer does not keep up

class Socket {
 public:
  // `ready`: on the loop; may destroy the Socket.
  static Result<std::unique_ptr<Socket>> create(const boost::asio::any_io_executor& executor,
                                                zmq::socket_t socket, std::function<void()> ready);
  // Closes at once; what was not sent yet goes within the socket's ZMQ_LINGER.
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  [[nodiscard]] zmq::socket_t& zmq() { return socket_; }
  [[nodiscard]] bool writable();

  // All frames of the next message; empty where there is none. Never blocks.
  [[nodiscard]] std::vector<zmq::message_t> receive();
  // All frames or none. Never blocks.
  Sent send(std::vector<zmq::message_t> frames);
  // Calls `ready` soon, on the loop.
  void recheck();

 private:
  Socket(const boost::asio::any_io_executor& executor, zmq::socket_t socket,
         std::function<void()> ready, int fd);
  void arm();

  zmq::socket_t socket_;
  std::shared_ptr<std::function<void()>> ready_;      // shared: handlers outlive us
  boost::asio::posix::stream_descriptor descriptor_;  // libzmq's, borrowed
  bool recheck_posted_ = false;
};

}  // namespace conode::bus
