// SPDX-License-Identifier: Apache-2.0
#include "tests/support/traffic.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cstring>

namespace conode::test {
namespace {

sockaddr_in socket_address(Ipv4Address address, uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  made.sin_addr.s_addr = htonl(address.value);
  return made;
}

Result<UniqueFd> socket_in(const Netns& netns, int type, int protocol) {
  return netns.run([&]() -> Result<UniqueFd> {
    UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, protocol));
    if (!fd) return errno_failure("make a socket");
    const timeval patience{.tv_sec = 2};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
      (void)::setsockopt(fd.get(), SOL_SOCKET, option, &patience, sizeof patience);
    return fd;
  });
}

Result<void> pass(int from, int to) {
  constexpr std::array<char, 5> kSent{'c', 'o', 'n', 'o', 'd'};
  std::array<char, 5> got{};
  constexpr auto kSize = static_cast<ssize_t>(kSent.size());
  if (::send(from, kSent.data(), kSent.size(), 0) != kSize) return errno_failure("send");
  if (::recv(to, got.data(), got.size(), MSG_WAITALL) != kSize) return errno_failure("recv");
  if (got != kSent) return failure("other bytes arrived than were sent");
  return {};
}

uint16_t checksum(const icmphdr& header) {
  std::array<uint16_t, sizeof header / 2> words{};
  std::memcpy(words.data(), &header, sizeof header);
  uint32_t sum = 0;
  for (const uint16_t word : words) sum += word;
  return static_cast<uint16_t>(~((sum & 0xffffU) + (sum >> 16U)));
}

}  // namespace

Result<TcpListener> listen_in(const Netns& netns, uint16_t port) {
  TcpListener made{TRY(socket_in(netns, SOCK_STREAM, 0)), 0};
  sockaddr_in any = socket_address({}, port);
  socklen_t length = sizeof any;
  if (::bind(made.socket.get(), reinterpret_cast<sockaddr*>(&any), length) != 0 ||
      ::listen(made.socket.get(), 8) != 0 ||
      ::getsockname(made.socket.get(), reinterpret_cast<sockaddr*>(&any), &length) != 0)
    return errno_failure("listen");
  made.port = ntohs(any.sin_port);
  return made;
}

Result<Ipv4Address> exchange(const TcpListener& listener, const Netns& from, Ipv4Address address,
                             uint16_t port) {
  const UniqueFd client = TRY(socket_in(from, SOCK_STREAM, 0));
  const sockaddr_in to = socket_address(address, port);
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    return errno_failure(fmt::format("connect to '{}'", address.text()));
  sockaddr_in seen{};
  socklen_t length = sizeof seen;
  const UniqueFd server(
      ::accept4(listener.socket.get(), reinterpret_cast<sockaddr*>(&seen), &length, SOCK_CLOEXEC));
  if (!server) return errno_failure("accept");
  TRY(pass(client.get(), server.get()));
  TRY(pass(server.get(), client.get()));
  return Ipv4Address{ntohl(seen.sin_addr.s_addr)};
}

Result<void> ping(const Netns& from, Ipv4Address address) {
  const UniqueFd socket = TRY(socket_in(from, SOCK_RAW, IPPROTO_ICMP));
  icmphdr request{};
  request.type = ICMP_ECHO;
  request.un.echo.sequence = 1;
  request.checksum = checksum(request);
  const sockaddr_in to = socket_address(address, 0);
  if (::sendto(socket.get(), &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&to),
               sizeof to) < 0)
    return errno_failure(fmt::format("ping '{}'", address.text()));
  for (;;) {
    std::array<char, 256> packet{};
    const ssize_t n = ::recv(socket.get(), packet.data(), packet.size(), 0);
    if (n < 0) return code_failure(ETIMEDOUT, fmt::format("ping '{}'", address.text()));
    icmphdr answer{};
    if (static_cast<size_t>(n) < sizeof(iphdr) + sizeof answer) continue;
    std::memcpy(&answer, packet.data() + sizeof(iphdr), sizeof answer);
    if (answer.type == ICMP_ECHOREPLY) return {};
  }
}

}  // namespace conode::test
