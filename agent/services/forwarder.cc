// SPDX-License-Identifier: Apache-2.0
#include "agent/services/forwarder.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace conode::services {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kPause{100};

auto capture(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

// One direction, until its end; then the other side is told so.
asio::awaitable<void> copy(std::shared_ptr<tcp::socket> from, std::shared_ptr<tcp::socket> to) {
  auto buffer = std::make_unique<std::array<char, 16384>>();
  error_code error;
  for (;;) {
    const size_t size = co_await from->async_read_some(asio::buffer(*buffer), capture(error));
    if (error) break;
    co_await asio::async_write(*to, asio::buffer(*buffer, size), capture(error));
    if (error) break;
  }
  (void)to->shutdown(tcp::socket::shutdown_send, error);
}

asio::awaitable<void> lead(SandboxLink& link, tcp::socket client, std::string address,
                           uint16_t port) {
  Result<tcp::socket> server = co_await link.dial(std::move(address), port);
  if (!server) co_return;  // the client sees the connection close
  auto near = std::make_shared<tcp::socket>(std::move(client));
  auto far = std::make_shared<tcp::socket>(std::move(*server));
  const auto executor = near->get_executor();
  asio::co_spawn(executor, copy(near, far), asio::detached);
  co_await copy(far, near);
}

}  // namespace

Result<UniqueFd> listen_on_loopback(uint16_t port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0)
    return Failure(errno_failure(fmt::format("listen on 127.0.0.1:{}", port))
                       .value()
                       .with_remedy("choose another --api-port, or 0 for a free one"));
  return socket;
}

Result<uint16_t> port_of(const UniqueFd& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return errno_failure("find the port of a listening socket");
  return ntohs(address.sin_port);
}

std::unique_ptr<Forwarder> Forwarder::take(asio::io_context& loop, UniqueFd listener) {
  tcp::acceptor acceptor(loop, tcp::v4(), listener.release());
  error_code error;
  const uint16_t port = acceptor.local_endpoint(error).port();
  return std::unique_ptr<Forwarder>(new Forwarder(std::move(acceptor), port));
}

void Forwarder::serve(SandboxLink& link, std::string address, uint16_t port) {
  asio::co_spawn(acceptor_.get_executor(), accept_all(link, std::move(address), port),
                 asio::detached);
}

asio::awaitable<void> Forwarder::accept_all(SandboxLink& link, std::string address, uint16_t port) {
  for (;;) {
    error_code error;
    tcp::socket client = co_await acceptor_.async_accept(capture(error));
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // no descriptors, say: the next one may have luck
      asio::steady_timer pause(acceptor_.get_executor(), kPause);
      co_await pause.async_wait(capture(error));
      continue;
    }
    asio::co_spawn(acceptor_.get_executor(), lead(link, std::move(client), address, port),
                   asio::detached);
  }
}

}  // namespace conode::services
