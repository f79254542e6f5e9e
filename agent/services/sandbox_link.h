// SPDX-License-Identifier: Apache-2.0
// The event loop's side of the sandbox: dispatches what the init reports, and dials into the
// sandbox's network. All calls and callbacks on the loop's one thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/sandbox/sandbox.h"

namespace conode::services {

class SandboxLink {
 public:
  struct Handlers {
    std::function<void(UniqueFd queue)> tun;  // of the relay's device, before `up`
    std::function<void()> up;
    std::function<void(const Error&)> lost;  // set-up failed, or the link broke
    std::function<void()> gone;              // the init has closed its end: it ended
    std::function<void(uint32_t service, pid_t pid)> started;
    std::function<void(uint32_t service, const Error&)> start_failed;
    std::function<void(uint32_t service, const ExitStatus&)> exited;
  };

  // `sandbox` outlives the link.
  SandboxLink(boost::asio::io_context& loop, sandbox::Sandbox& sandbox);

  void listen(Handlers handlers);
  sandbox::Sandbox& sandbox() { return sandbox_; }

  // A TCP connection made inside the sandbox's network namespace, for example to 127.0.0.1.
  boost::asio::awaitable<Result<boost::asio::ip::tcp::socket>> dial(std::string address,
                                                                    uint16_t port);
  // The same for UDP: a socket that talks to that address only.
  boost::asio::awaitable<Result<boost::asio::ip::udp::socket>> dial_datagram(std::string address,
                                                                             uint16_t port);

 private:
  // A wait for one socket: the timer never fires, it is cancelled when the socket is there.
  struct Pending {
    explicit Pending(boost::asio::io_context& loop)
        : arrived(loop, boost::asio::steady_timer::time_point::max()) {}
    boost::asio::steady_timer arrived;
    UniqueFd fd;
    int error = 0;
    bool done = false;
  };

  boost::asio::awaitable<Result<UniqueFd>> make_socket(int type);
  void wait_for_message();
  void receive_all();
  void give_up_on_sockets();
  void dispatch(sandbox::Message message);

  boost::asio::io_context& loop_;
  sandbox::Sandbox& sandbox_;
  boost::asio::posix::stream_descriptor control_;
  Handlers handlers_;
  std::map<uint32_t, std::shared_ptr<Pending>> pending_;
  uint32_t next_request_ = 1;
};

}  // namespace conode::services
