// SPDX-License-Identifier: Apache-2.0
#include "agent/egress/inward.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "netplug/link/egress_link.h"
#include "netplug/link/route.h"

namespace conode::egress {
namespace {

Result<uint16_t> free_udp_port(Ipv4Address address) {
  const std::string what = fmt::format("find a free UDP port at {}", address.text());
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  bound.sin_addr.s_addr = ::htonl(address.value);
  socklen_t size = sizeof bound;
  auto* generic = reinterpret_cast<sockaddr*>(&bound);
  if (!socket || ::bind(socket.get(), generic, size) != 0 ||
      ::getsockname(socket.get(), generic, &size) != 0)
    return errno_failure(what);
  return ::ntohs(bound.sin_port);
}

Result<UniqueFd> connect_to(const std::string& path) {
  constexpr timeval kPatience{.tv_sec = 1, .tv_usec = 0};
  const std::string what = fmt::format("connect to slirp4netns at '{}'", path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return code_failure(ENAMETOOLONG, what);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience) ||
      ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return errno_failure(what);
  return socket;
}

}  // namespace

Result<Inward> choose_inward(const std::string& address, uint16_t port) {
  const Ipv4Address wanted = TRY(Ipv4Address::parse(address));
  Socket socket = TRY(Socket::open());
  const Link link = TRY(link_with_address(socket, wanted));
  const uint16_t host_port = TRY(free_udp_port(wanted));
  return Inward{link.name, address, host_port, port, {}, link.mtu};
}

Result<void> open_inward(const Inward& inward) {
  const UniqueFd socket = TRY(connect_to(inward.api_socket));
  const nlohmann::json order = {{"execute", "add_hostfwd"},
                                {"arguments",
                                 {{"proto", "udp"},
                                  {"host_addr", inward.address},
                                  {"host_port", inward.host_port},
                                  {"guest_addr", kEgressAddress},
                                  {"guest_port", inward.port}}}};
  TRY(write_all(socket.get(), order.dump(), "slirp4netns's API"));
  std::array<char, 1024> answer{};
  const ssize_t n = ::read(socket.get(), answer.data(), answer.size());
  const std::string text(answer.data(), static_cast<size_t>(std::max<ssize_t>(n, 0)));
  if (nlohmann::json::parse(text, nullptr, false).contains("return")) return {};
  return failure(fmt::format("forward UDP port {} of {} by slirp4netns: '{}'", inward.host_port,
                             inward.address, text));
}

}  // namespace conode::egress
