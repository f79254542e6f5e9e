// SPDX-License-Identifier: Apache-2.0
#include "agent/services/sandbox_link.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace conode::services {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;

SandboxLink::SandboxLink(asio::io_context& loop, sandbox::Sandbox& sandbox)
    : loop_(loop),
      sandbox_(sandbox),
      control_(loop, ::fcntl(sandbox.control(), F_DUPFD_CLOEXEC, 0)) {}

void SandboxLink::listen(Handlers handlers) {
  handlers_ = std::move(handlers);
  wait_for_message();
}

void SandboxLink::wait_for_message() {
  control_.async_wait(asio::posix::stream_descriptor::wait_read,
                      [this](const boost::system::error_code& error) {
                        if (!error) receive_all();
                      });
}

void SandboxLink::receive_all() {
  for (;;) {
    Result<std::optional<sandbox::Message>> message =
        sandbox::receive(control_.native_handle(), false);
    if (!message) {
      if (message.error().is(std::errc::resource_unavailable_try_again)) break;
      give_up_on_sockets();
      if (handlers_.lost) handlers_.lost(message.error());
      return;
    }
    if (!*message) {
      give_up_on_sockets();
      if (handlers_.lost) handlers_.gone();
      return;
    }
    dispatch(std::move(**message));
  }
  wait_for_message();
}

void SandboxLink::give_up_on_sockets() {
  for (const auto& [request, pending] : std::exchange(pending_, {})) {
    pending->error = EPIPE;
    pending->done = true;
    pending->arrived.cancel();
  }
}

void SandboxLink::dispatch(sandbox::Message message) {
  using sandbox::Kind;
  const auto error = [&] {
    Error told =
        code_failure(message.value, message.strings.empty() ? "" : message.strings[0]).value();
    return message.strings.size() > 1 ? std::move(told).with_remedy(message.strings[1]) : told;
  };
  switch (message.kind) {
    case Kind::tun:
      handlers_.tun(std::move(message.fd));
      break;
    case Kind::up:
      handlers_.up();
      break;
    case Kind::failed:
      if (message.id == 0)
        handlers_.lost(error().wrap("set up the sandbox"));
      else
        handlers_.start_failed(message.id, error());
      break;
    case Kind::started:
      handlers_.started(message.id, message.value);
      break;
    case Kind::exited:
      handlers_.exited(message.id, exit_status_from_wait(message.value));
      break;
    case Kind::socket_made:
      if (const auto found = pending_.find(message.id); found != pending_.end()) {
        found->second->fd = std::move(message.fd);
        found->second->error = message.value;
        found->second->done = true;
        found->second->arrived.cancel();
        pending_.erase(found);
      }
      break;
    default:
      break;
  }
}

asio::awaitable<Result<UniqueFd>> SandboxLink::make_socket(int type) {
  const uint32_t request = next_request_++;
  auto pending = std::make_shared<Pending>(loop_);
  pending_[request] = pending;
  if (Result<void> asked = sandbox_.request_socket(request, type); !asked) {
    pending_.erase(request);
    co_return tl::make_unexpected(std::move(asked).error());
  }
  boost::system::error_code error;
  if (!pending->done)
    co_await pending->arrived.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (!pending->fd) co_return code_failure(pending->error, "make a socket in the sandbox");
  co_return std::move(pending->fd);
}

asio::awaitable<Result<tcp::socket>> SandboxLink::dial(std::string address, uint16_t port) {
  Result<UniqueFd> made = co_await make_socket(SOCK_STREAM);
  const std::string what = fmt::format("connect to {}:{} in the sandbox", address, port);
  if (!made) co_return tl::make_unexpected(std::move(made).error().wrap(what));
  boost::system::error_code error;
  tcp::socket socket(loop_, tcp::v4(), made->release());
  const tcp::endpoint endpoint(asio::ip::make_address(address, error), port);
  if (!error)
    co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return code_failure(error.value(), what);
  co_return socket;
}

asio::awaitable<Result<udp::socket>> SandboxLink::dial_datagram(std::string address,
                                                                uint16_t port) {
  Result<UniqueFd> made = co_await make_socket(SOCK_DGRAM);
  const std::string what = fmt::format("talk to {}:{} in the sandbox", address, port);
  if (!made) co_return tl::make_unexpected(std::move(made).error().wrap(what));
  boost::system::error_code error;
  udp::socket socket(loop_, udp::v4(), made->release());
  const udp::endpoint endpoint(asio::ip::make_address(address, error), port);
  if (!error) (void)socket.connect(endpoint, error);
  if (error) co_return code_failure(error.value(), what);
  co_return socket;
}

}  // namespace conode::services
