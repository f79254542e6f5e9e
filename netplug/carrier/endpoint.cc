// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>

#include <array>
#include <cstring>
#include <memory>

namespace conode::carrier {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* found) const { ::freeaddrinfo(found); }
};

}  // namespace

Result<Endpoint> Endpoint::resolve(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0)
    return failure(fmt::format("read '{}' as an endpoint", text), "write it as HOST:PORT");
  std::string host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const addrinfo hints{
      .ai_flags = AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  addrinfo* raw = nullptr;
  const int code = ::getaddrinfo(host.c_str(), text.c_str() + colon + 1, &hints, &raw);
  const std::unique_ptr<addrinfo, FreeAddresses> found(raw);
  if (code != 0 || !found)
    return failure(fmt::format("find the address of '{}': {}", text, ::gai_strerror(code)));
  Endpoint made;
  std::memcpy(&made.address, found->ai_addr, found->ai_addrlen);
  made.length = found->ai_addrlen;
  return made;
}

std::string Endpoint::text() const {
  std::array<char, INET6_ADDRSTRLEN> host{};
  if (family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, host.data(), host.size());
    return fmt::format("[{}]:{}", host.data(), port());
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
  ::inet_ntop(AF_INET, &v4.sin_addr, host.data(), host.size());
  return fmt::format("{}:{}", host.data(), port());
}

uint16_t Endpoint::port() const {
  return ntohs(family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                    : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

Endpoint Endpoint::with_port(uint16_t port) const {
  Endpoint made = *this;
  if (family() == AF_INET6)
    reinterpret_cast<sockaddr_in6&>(made.address).sin6_port = htons(port);
  else
    reinterpret_cast<sockaddr_in&>(made.address).sin_port = htons(port);
  return made;
}

bool Endpoint::operator==(const Endpoint& other) const {
  return length == other.length && std::memcmp(&address, &other.address, length) == 0;
}

Result<UniqueFd> bound_socket(const Endpoint& at, int type) {
  UniqueFd made(::socket(at.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made) return errno_failure("make a carrier's socket");
  const int on = 1;
  if (type == SOCK_STREAM &&
      ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
    return errno_failure("set SO_REUSEADDR");
  if (::bind(made.get(), at.raw(), at.length) != 0)
    return errno_failure(fmt::format("bind a carrier to '{}'", at.text()));
  return made;
}

Result<Endpoint> local_endpoint(int socket) {
  Endpoint made;
  made.length = sizeof made.address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&made.address), &made.length) != 0)
    return errno_failure("ask a socket for its address");
  return made;
}

}  // namespace conode::carrier
