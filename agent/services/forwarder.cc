// SPDX-License-Identifier: Apache-2.0
#include "agent/services/forwarder.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace conode::services {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

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

Result<std::unique_ptr<Forwarder>> Forwarder::listen(asio::io_context& loop, uint16_t host_port) {
  error_code error;
  tcp::acceptor acceptor(loop);
  const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), host_port);
  (void)acceptor.open(tcp::v4(), error);
  if (!error) (void)acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) (void)acceptor.bind(endpoint, error);
  if (!error) (void)acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return Failure(code_failure(error.value(), fmt::format("listen on 127.0.0.1:{}", host_port))
                       .value()
                       .with_remedy("choose another --api-port, or 0 for a free one"));
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
    if (error) co_return;
    asio::co_spawn(acceptor_.get_executor(), lead(link, std::move(client), address, port),
                   asio::detached);
  }
}

}  // namespace conode::services
