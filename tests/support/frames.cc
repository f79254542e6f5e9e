// SPDX-License-Identifier: Apache-2.0
#include "tests/support/frames.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cstring>

namespace conode::test {
namespace {

template <typename T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

uint16_t checksum(const std::string& header) {
  uint32_t sum = 0;
  for (size_t at = 0; at + 1 < header.size(); at += 2) {
    uint16_t word = 0;
    std::memcpy(&word, header.data() + at, sizeof word);
    sum += word;
  }
  return static_cast<uint16_t>(~((sum & 0xffffU) + (sum >> 16U)));
}

}  // namespace

std::string ethernet_frame(const Addresses& addresses, uint16_t type, const std::string& rest) {
  return bytes_of(addresses.destination.bytes) + bytes_of(addresses.source.bytes) +
         bytes_of(htons(type)) + rest;
}

std::string ipv4_frame(const Addresses& addresses, const std::string& text) {
  constexpr uint16_t kDiscard = 9;
  constexpr uint8_t kHops = 64;
  const udphdr udp{.uh_sport = htons(kDiscard),
                   .uh_dport = htons(kDiscard),
                   .uh_ulen = htons(static_cast<uint16_t>(sizeof(udphdr) + text.size())),
                   .uh_sum = 0};
  iphdr ip{};
  ip.version = 4;
  ip.ihl = sizeof ip / 4;
  ip.ttl = kHops;
  ip.protocol = IPPROTO_UDP;
  ip.tot_len = htons(static_cast<uint16_t>(sizeof ip + sizeof udp + text.size()));
  ip.saddr = htonl(addresses.from.value);
  ip.daddr = htonl(addresses.to.value);
  ip.check = checksum(bytes_of(ip));
  return ethernet_frame(addresses, ETH_P_IP, bytes_of(ip) + bytes_of(udp) + text);
}

std::string vxlan_payload(uint32_t vni, const std::string& frame) {
  constexpr uint32_t kFlag = 0x08000000;
  return bytes_of(htonl(kFlag)) + bytes_of(htonl(vni << 8U)) + frame;
}

Result<RawLink> RawLink::open(const Netns& netns, const std::string& link) {
  return netns.run([&]() -> Result<RawLink> {
    UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket) return errno_failure("make a packet socket");
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(::if_nametoindex(link.c_str()));
    const timeval patience{.tv_sec = 5};
    const int on = 1;
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        ::setsockopt(socket.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
        at.sll_ifindex == 0 ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
      return errno_failure(fmt::format("listen to link '{}'", link));
    return RawLink(std::move(socket));
  });
}

Result<void> RawLink::send(const std::string& frame) const {
  if (::send(socket_.get(), frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size()))
    return errno_failure("send a frame");
  return {};
}

Result<std::string> RawLink::receive() const {
  constexpr size_t kLongest = 65536;
  std::string frame(kLongest, '\0');
  const ssize_t size = ::recv(socket_.get(), frame.data(), frame.size(), 0);
  if (size < 0) return errno_failure("receive a frame");
  frame.resize(static_cast<size_t>(size));
  return frame;
}

Result<void> send_datagram(const Netns& netns, uint16_t from_port, Ipv4Address to, uint16_t port,
                           const std::string& payload) {
  return netns.run([&]() -> Result<void> {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in own{.sin_family = AF_INET, .sin_port = htons(from_port)};
    sockaddr_in peer{.sin_family = AF_INET, .sin_port = htons(port)};
    peer.sin_addr.s_addr = htonl(to.value);
    if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
        ::sendto(socket.get(), payload.data(), payload.size(), 0,
                 reinterpret_cast<const sockaddr*>(&peer), sizeof peer) < 0)
      return errno_failure("send a datagram");
    return {};
  });
}

}  // namespace conode::test
