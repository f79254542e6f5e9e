// SPDX-License-Identifier: Apache-2.0
// Theory of operation: one coroutine reads the port, finds or makes the client's session and passes
// the datagram on; one for each session reads what comes back. Datagrams that arrive while a
// session gets its socket wait, a few of them. An answer leaves from the address that the client
// has talked to (IP_PKTINFO, ip(7)): the port may be bound to all addresses of the host.
#include "agent/expose/datagram_forwarder.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <vector>

#include "agent/expose/session_table.h"

namespace conode::expose {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;
using std::chrono::steady_clock;

namespace {

constexpr size_t kLargest = 65536;
constexpr size_t kMostWaiting = 16;
constexpr int kBurst = 64;  // then others have their turn

auto capture(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

}  // namespace

struct DatagramSession {
  explicit DatagramSession(asio::io_context& loop) : socket(loop) {}

  udp::socket socket;  // in the sandbox; not open yet: datagrams wait
  std::vector<std::string> waiting;
  in_addr local{};  // where the client has found us
  bool ended = false;

  void end() {
    error_code ignored;
    ended = true;
    (void)socket.close(ignored);
  }
};

struct DatagramForwarder::Impl {
  Impl(asio::io_context& l, UniqueFd fd, services::SandboxLink& k)
      : loop(l), link(k), socket(l, udp::v4(), fd.release()), timer(l) {}

  asio::io_context& loop;
  services::SandboxLink& link;
  udp::socket socket;
  std::string address;
  uint16_t port = 0;
  services::Admission admit;
  SessionTable sessions{kMostDatagramSessions, kDatagramIdle};
  asio::steady_timer timer;  // runs while there are sessions
  bool timer_runs = false;
  std::vector<char> buffer = std::vector<char>(kLargest);

  static asio::awaitable<void> receive(std::shared_ptr<Impl> self);
  static asio::awaitable<void> serve(std::shared_ptr<Impl> self,
                                     std::shared_ptr<DatagramSession> session,
                                     udp::endpoint client);
  static void forget_idle(const std::shared_ptr<Impl>& self);
  bool take_one(const std::shared_ptr<Impl>& self);
  void pass_on(const std::shared_ptr<Impl>& self, const udp::endpoint& client, in_addr local,
               size_t size);
  void answer(const DatagramSession& session, const udp::endpoint& client, size_t size);
};

// False: there is no datagram now.
bool DatagramForwarder::Impl::take_one(const std::shared_ptr<Impl>& self) {
  udp::endpoint client;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
  iovec part{buffer.data(), buffer.size()};
  msghdr header{};
  header.msg_name = client.data();
  header.msg_namelen = static_cast<socklen_t>(client.capacity());
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(socket.native_handle(), &header, MSG_DONTWAIT);
  if (size < 0) return errno == EINTR;
  client.resize(header.msg_namelen);
  in_pktinfo info{};
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c))
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
  pass_on(self, client, info.ipi_spec_dst, static_cast<size_t>(size));
  return true;
}

void DatagramForwarder::Impl::pass_on(const std::shared_ptr<Impl>& self,
                                      const udp::endpoint& client, in_addr local, size_t size) {
  const auto now = steady_clock::now();
  std::shared_ptr<DatagramSession> session = sessions.find(client, now);
  if (session && session->socket.is_open()) {
    (void)::send(session->socket.native_handle(), buffer.data(), size, MSG_DONTWAIT);
    return;
  }
  if (session) {
    if (session->waiting.size() < kMostWaiting) session->waiting.emplace_back(buffer.data(), size);
    return;
  }
  if (admit && !admit(client.address())) return;
  session = std::make_shared<DatagramSession>(loop);
  session->local = local;
  session->waiting.emplace_back(buffer.data(), size);
  if (const auto evicted = sessions.insert(client, session, now)) evicted->end();
  if (!timer_runs) forget_idle(self);
  asio::co_spawn(loop, serve(self, std::move(session), client), asio::detached);
}

asio::awaitable<void> DatagramForwarder::Impl::receive(std::shared_ptr<Impl> self) {
  error_code error;
  while (self->socket.is_open()) {
    co_await self->socket.async_wait(udp::socket::wait_read, capture(error));
    if (error) co_return;
    for (int i = 0; i < kBurst && self->socket.is_open() && self->take_one(self); ++i) continue;
  }
}

void DatagramForwarder::Impl::answer(const DatagramSession& session, const udp::endpoint& client,
                                     size_t size) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
  iovec part{buffer.data(), size};
  msghdr header{};
  header.msg_name = const_cast<sockaddr*>(client.data());
  header.msg_namelen = static_cast<socklen_t>(client.size());
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* info = CMSG_FIRSTHDR(&header);
  info->cmsg_level = IPPROTO_IP;
  info->cmsg_type = IP_PKTINFO;
  info->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
  in_pktinfo from{};
  from.ipi_spec_dst = session.local;
  std::memcpy(CMSG_DATA(info), &from, sizeof from);
  (void)::sendmsg(socket.native_handle(), &header, MSG_DONTWAIT);  // lost, as on any network
}

asio::awaitable<void> DatagramForwarder::Impl::serve(std::shared_ptr<Impl> self,
                                                     std::shared_ptr<DatagramSession> session,
                                                     udp::endpoint client) {
  Result<udp::socket> made = co_await self->link.dial_datagram(self->address, self->port);
  if (session->ended) co_return;
  if (!made) {
    self->sessions.erase(client);
    co_return;
  }
  session->socket = std::move(*made);
  const int fd = session->socket.native_handle();
  for (const std::string& datagram : session->waiting)
    (void)::send(fd, datagram.data(), datagram.size(), MSG_DONTWAIT);
  session->waiting.clear();
  error_code error;
  while (!session->ended) {
    co_await session->socket.async_wait(udp::socket::wait_read, capture(error));
    if (error) co_return;
    const ssize_t size = ::recv(fd, self->buffer.data(), self->buffer.size(), MSG_DONTWAIT);
    if (size < 0) continue;  // nobody listens there now (ICMP), or it was not for us
    self->sessions.touch(client, steady_clock::now());
    self->answer(*session, client, static_cast<size_t>(size));
  }
}

void DatagramForwarder::Impl::forget_idle(const std::shared_ptr<Impl>& self) {
  for (const auto& session : self->sessions.expire(steady_clock::now())) session->end();
  const auto next = self->sessions.next_expiry();
  self->timer_runs = next.has_value();
  if (!next) return;
  self->timer.expires_at(*next);
  self->timer.async_wait([self](const error_code& error) {
    if (!error) forget_idle(self);
  });
}

DatagramForwarder::DatagramForwarder(asio::io_context& loop, UniqueFd socket,
                                     services::SandboxLink& link, std::string address,
                                     uint16_t port, services::Admission admit)
    : impl_(std::make_shared<Impl>(loop, std::move(socket), link)) {
  const int yes = 1;
  (void)::setsockopt(impl_->socket.native_handle(), IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
  impl_->address = std::move(address);
  impl_->port = port;
  impl_->admit = std::move(admit);
  asio::co_spawn(loop, Impl::receive(impl_), asio::detached);
}

DatagramForwarder::~DatagramForwarder() {
  error_code ignored;
  (void)impl_->socket.close(ignored);
  impl_->timer.cancel();
  for (const auto& session : impl_->sessions.clear()) session->end();
}

uint16_t DatagramForwarder::port() const {
  error_code error;
  return impl_->socket.local_endpoint(error).port();
}

}  // namespace conode::expose
