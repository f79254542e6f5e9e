// SPDX-License-Identifier: Apache-2.0
#include "agent/services/forwarder.h"
#include "agent/base/pipe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>

namespace conode::services {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kPause{100};
// At once, of one port: six descriptors each. Further clients wait in the kernel's backlog.
constexpr size_t kMostConnections = 512;

auto capture(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

// The two ends of one connection, which is among `all` while it lives.
struct Connection {
  Connection(tcp::socket client, std::shared_ptr<std::set<Connection*>> all)
      : near(std::move(client)), far(near.get_executor()), all_(std::move(all)) {
    all_->insert(this);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { all_->erase(this); }

  void close() {
    error_code ignored;
    (void)near.close(ignored);
    (void)far.close(ignored);
  }

  tcp::socket near;
  tcp::socket far;

 private:
  std::shared_ptr<std::set<Connection*>> all_;
};

ssize_t move_bytes(int from, int to, size_t size) {
  ssize_t moved = 0;
  do moved = ::splice(from, nullptr, to, nullptr, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  while (moved < 0 && errno == EINTR);
  return moved;
}

// What one splice(2) has put into the pipe goes to `to`; false: that end is gone.
asio::awaitable<bool> empty(const Pipe& pipe, tcp::socket& to, ssize_t size) {
  error_code error;
  while (size > 0) {
    const ssize_t moved = move_bytes(pipe.out.get(), to.native_handle(), static_cast<size_t>(size));
    if (moved > 0) {
      size -= moved;
      continue;
    }
    if (moved == 0 || errno != EAGAIN) co_return false;
    co_await to.async_wait(tcp::socket::wait_write, capture(error));
    if (error) co_return false;
  }
  co_return true;
}

// One direction, until its end; then the other side is told so. The bytes stay in the kernel.
asio::awaitable<void> copy(std::shared_ptr<Connection> connection, tcp::socket& from,
                           tcp::socket& to) {
  constexpr size_t kMost = 1U << 20U;
  constexpr int kTurns = 16;  // then others have theirs
  const Result<Pipe> pipe = make_pipe();
  if (!pipe) co_return connection->close();
  error_code error;
  for (int turn = 1;; ++turn) {
    const ssize_t moved = move_bytes(from.native_handle(), pipe->in.get(), kMost);
    if (moved == 0) break;
    if (moved < 0 && errno != EAGAIN) co_return connection->close();
    if (moved < 0) {
      co_await from.async_wait(tcp::socket::wait_read, capture(error));
      if (error) co_return connection->close();
      continue;
    }
    const bool emptied = co_await empty(*pipe, to, moved);
    if (!emptied) co_return connection->close();
    if (turn % kTurns == 0) co_await asio::post(from.get_executor(), asio::use_awaitable);
  }
  (void)to.shutdown(tcp::socket::shutdown_send, error);
}

asio::awaitable<void> lead(SandboxLink& link, std::shared_ptr<Connection> connection,
                           std::string address, uint16_t port) {
  Result<tcp::socket> server = co_await link.dial(std::move(address), port);
  if (!server || !connection->near.is_open()) co_return;  // the client sees it close
  connection->far = std::move(*server);
  error_code error;
  for (tcp::socket* socket : {&connection->near, &connection->far}) {
    (void)socket->native_non_blocking(true, error);
    (void)socket->set_option(tcp::no_delay(true), error);
  }
  asio::co_spawn(connection->near.get_executor(),
                 copy(connection, connection->near, connection->far), asio::detached);
  co_await copy(connection, connection->far, connection->near);
}

}  // namespace

struct Forwarder::Impl {
  explicit Impl(tcp::acceptor a) : acceptor(std::move(a)) {}

  tcp::acceptor acceptor;
  std::shared_ptr<std::set<Connection*>> connections = std::make_shared<std::set<Connection*>>();

  static asio::awaitable<void> accept_all(std::shared_ptr<Impl> self, SandboxLink& link,
                                          std::string address, uint16_t port, Admission admit);
};

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

Result<uint16_t> port_of(const UniqueFd& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return errno_failure("find the port of a socket");
  return ntohs(address.sin_port);
}

std::unique_ptr<Forwarder> Forwarder::take(asio::io_context& loop, UniqueFd listener) {
  tcp::acceptor acceptor(loop, tcp::v4(), listener.release());
  error_code error;
  const uint16_t port = acceptor.local_endpoint(error).port();
  return std::unique_ptr<Forwarder>(
      new Forwarder(std::make_shared<Impl>(std::move(acceptor)), port));
}

Forwarder::~Forwarder() {
  error_code ignored;
  (void)impl_->acceptor.close(ignored);
  for (Connection* connection : *impl_->connections) connection->close();
}

void Forwarder::serve(SandboxLink& link, std::string address, uint16_t port, Admission admit) {
  asio::co_spawn(impl_->acceptor.get_executor(),
                 Impl::accept_all(impl_, link, std::move(address), port, std::move(admit)),
                 asio::detached);
}

asio::awaitable<void> Forwarder::Impl::accept_all(std::shared_ptr<Impl> self, SandboxLink& link,
                                                  std::string address, uint16_t port,
                                                  Admission admit) {
  while (self->acceptor.is_open()) {
    error_code error;
    if (self->connections->size() >= kMostConnections) {
      asio::steady_timer pause(self->acceptor.get_executor(), kPause);
      co_await pause.async_wait(capture(error));
      continue;
    }
    tcp::socket client = co_await self->acceptor.async_accept(capture(error));
    if (error == asio::error::operation_aborted || !self->acceptor.is_open()) co_return;
    if (error) {  // no descriptors, say: the next one may have luck
      asio::steady_timer pause(self->acceptor.get_executor(), kPause);
      co_await pause.async_wait(capture(error));
      continue;
    }
    const tcp::endpoint peer = client.remote_endpoint(error);
    if (error || (admit && !admit(peer.address()))) continue;
    auto connection = std::make_shared<Connection>(std::move(client), self->connections);
    asio::co_spawn(self->acceptor.get_executor(), lead(link, std::move(connection), address, port),
                   asio::detached);
  }
}

}  // namespace conode::services
