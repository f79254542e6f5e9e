// SPDX-License-Identifier: Apache-2.0
#include "tests/support/datagram_proxy.h"

#include <poll.h>
#include <sys/socket.h>

namespace conode::test {
namespace {

using carrier::Endpoint;

void send_to(int socket, const Endpoint& to, const std::string& bytes) {
  (void)::sendto(socket, bytes.data(), bytes.size(), MSG_DONTWAIT, to.raw(), to.length);
}

// Empty when there is none.
std::string receive_from(int socket, Endpoint& from) {
  std::string bytes(65536, '\0');
  from.length = sizeof from.address;
  const ssize_t n = ::recvfrom(socket, bytes.data(), bytes.size(), MSG_DONTWAIT,
                               reinterpret_cast<sockaddr*>(&from.address), &from.length);
  bytes.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return bytes;
}

}  // namespace

Result<std::unique_ptr<DatagramProxy>> DatagramProxy::start(const std::string& listen,
                                                            const std::string& target, Harm harm) {
  UniqueFd listener = TRY(carrier::bound_socket(TRY(Endpoint::resolve(listen)), SOCK_DGRAM));
  const uint16_t port = TRY(carrier::local_endpoint(listener.get())).port();
  const int size = 4 << 20;
  (void)::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  std::unique_ptr<DatagramProxy> made(
      new DatagramProxy(std::move(listener), port, TRY(Endpoint::resolve(target)), harm));
  made->thread_ = std::thread([proxy = made.get()] { proxy->run(); });
  return made;
}

DatagramProxy::~DatagramProxy() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void DatagramProxy::run() {
  while (!stop_) {
    std::vector<pollfd> fds{{listener_.get(), POLLIN, 0}};
    for (const auto& [client, way] : ways_) fds.push_back({way.socket.get(), POLLIN, 0});
    (void)::poll(fds.data(), fds.size(), 20);
    from_client();
    for (auto& [client, way] : ways_) from_server(way);
  }
}

void DatagramProxy::from_client() {
  Endpoint client;
  for (std::string bytes; !(bytes = receive_from(listener_.get(), client)).empty();) {
    Way& way = ways_[client.text()];
    if (!way.socket) {
      Endpoint any;
      any.length = sizeof(sockaddr_in);
      any.address.ss_family = AF_INET;
      way = {std::move(*carrier::bound_socket(any, SOCK_DGRAM)), client, target_};
    }
    pass(way.socket.get(), way.server, std::move(bytes));
  }
}

void DatagramProxy::from_server(Way& way) {
  Endpoint server;
  for (std::string bytes; !(bytes = receive_from(way.socket.get(), server)).empty();) {
    way.server = server;
    pass(listener_.get(), way.client, std::move(bytes));
  }
}

void DatagramProxy::pass(int socket, const Endpoint& to, std::string bytes) {
  if (cut_ || chance(harm_.loss)) {
    ++lost_;
    return;
  }
  if (!held_ && chance(harm_.reorder)) {
    held_ = Held{socket, to, std::move(bytes)};
    return;
  }
  send_to(socket, to, bytes);
  if (chance(harm_.duplicate)) send_to(socket, to, bytes);
  if (held_) send_to(held_->socket, held_->to, held_->bytes);
  held_.reset();
}

}  // namespace conode::test
