// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/socket.h"

#include <boost/asio/post.hpp>

namespace conode::bus {

namespace asio = boost::asio;
using boost::system::error_code;

Failure zmq_failure(const zmq::error_t& error, std::string context) {
  // libzmq's own errors (ETERM, EFSM, ...) lie above the system's; its text names them.
  if (error.num() >= ZMQ_HAUSNUMERO) return failure(context + ": " + error.what());
  return code_failure(error.num(), std::move(context));
}

Result<std::unique_ptr<Socket>> Socket::create(const asio::any_io_executor& executor,
                                               zmq::socket_t socket, std::function<void()> ready) {
  try {
    const int fd = socket.get(zmq::sockopt::fd);
    std::unique_ptr<Socket> made(new Socket(executor, std::move(socket), std::move(ready), fd));
    made->arm();
    made->recheck();
    return made;
  } catch (const zmq::error_t& error) {
    return zmq_failure(error, "watch a ZeroMQ socket");
  } catch (const boost::system::system_error& error) {
    return code_failure(error.code().value(), "watch a ZeroMQ socket");
  }
}

Socket::Socket(const asio::any_io_executor& executor, zmq::socket_t socket,
               std::function<void()> ready, int fd)
    : socket_(std::move(socket)),
      ready_(std::make_shared<std::function<void()>>(std::move(ready))),
      descriptor_(executor, fd) {}

Socket::~Socket() { (void)descriptor_.release(); }

// In both handlers `ready` holds what is called, which may destroy us.
void Socket::arm() {
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [this, held = std::weak_ptr(ready_)](const error_code& error) {
                           auto ready = held.lock();
                           if (error || !ready) return;
                           (*ready)();
                           ready.reset();
                           if (!held.expired()) arm();
                         });
}

void Socket::recheck() {
  if (std::exchange(recheck_posted_, true)) return;
  asio::post(descriptor_.get_executor(), [this, held = std::weak_ptr(ready_)] {
    const auto ready = held.lock();
    if (!ready) return;
    recheck_posted_ = false;
    (*ready)();
  });
}

bool Socket::writable() {
  try {
    return (socket_.get(zmq::sockopt::events) & ZMQ_POLLOUT) != 0;
  } catch (const zmq::error_t&) {
    return false;
  }
}

std::vector<zmq::message_t> Socket::receive() {
  std::vector<zmq::message_t> frames;
  try {
    do {
      zmq::message_t frame;
      if (!socket_.recv(frame, zmq::recv_flags::dontwait)) return {};
      frames.push_back(std::move(frame));
    } while (frames.back().more());
  } catch (const zmq::error_t&) {
    return {};
  }
  return frames;
}

Sent Socket::send(std::vector<zmq::message_t> frames) {
  recheck();
  try {
    for (size_t i = 0; i < frames.size(); ++i) {
      const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
      if (!socket_.send(frames[i], zmq::send_flags::dontwait | more)) return Sent::no;
    }
  } catch (const zmq::error_t& error) {
    return error.num() == EHOSTUNREACH ? Sent::unreachable : Sent::no;
  }
  return Sent::yes;
}

}  // namespace conode::bus
