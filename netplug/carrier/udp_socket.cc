// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/udp_socket.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace conode::carrier {
namespace {

constexpr size_t kMaxSegments = 64;     // UDP_MAX_SEGMENTS of kernels before 6.7
constexpr size_t kMaxTrain = 65507;     // payload of one IPv4 packet
constexpr size_t kLeastPayload = 1232;  // IPv6's least MTU
constexpr int kBufferWish = 8 << 20;    // the system's limit (net.core.rmem_max) has the last word
constexpr int kUdpGro = 104;            // UDP_GRO; SOL_UDP

struct Control {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> bytes{};
};

void set(int socket, int level, int name, int value) {
  (void)::setsockopt(socket, level, name, &value, sizeof value);
}

void dont_fragment(int socket, int family) {
  if (family == AF_INET6)
    set(socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
  else
    set(socket, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
}

// Size of the datagrams that were coalesced into `message`; all of it where there was one.
size_t segment_size(msghdr& message, size_t length) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_UDP || c->cmsg_type != kUdpGro) continue;
    int size = 0;
    std::memcpy(&size, CMSG_DATA(c), sizeof size);
    if (size > 0) return static_cast<size_t>(size);
  }
  return std::max<size_t>(length, 1);
}

msghdr message_to(const Endpoint& to, std::span<iovec> parts) {
  msghdr message{};
  message.msg_name = const_cast<sockaddr_storage*>(&to.address);
  message.msg_namelen = to.length;
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return message;
}

void add_segment_size(msghdr& message, Control& control, size_t segment) {
  message.msg_control = control.bytes.data();
  message.msg_controllen = CMSG_SPACE(sizeof(uint16_t));
  cmsghdr* const c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_UDP;
  c->cmsg_type = UDP_SEGMENT;
  c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  const auto size = static_cast<uint16_t>(segment);
  std::memcpy(CMSG_DATA(c), &size, sizeof size);
}

}  // namespace

Result<std::unique_ptr<UdpSocket>> UdpSocket::bind(const Endpoint& at) {
  UniqueFd socket = TRY(bound_socket(at, SOCK_DGRAM));
  set(socket.get(), SOL_SOCKET, SO_RCVBUF, kBufferWish);
  set(socket.get(), SOL_SOCKET, SO_SNDBUF, kBufferWish);
  set(socket.get(), SOL_UDP, kUdpGro, 1);  // without it, datagrams come one by one
  dont_fragment(socket.get(), at.family());
  const Endpoint local = TRY(local_endpoint(socket.get()));
  return std::unique_ptr<UdpSocket>(new UdpSocket(std::move(socket), local));
}

UdpSocket::Sent UdpSocket::send_one(const Endpoint& to, Bytes bytes) const {
  iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  return send_vectors(to, {&part, 1}, 1, 0);
}

UdpSocket::Sent UdpSocket::send_train(const Endpoint& to, std::span<HeaderBytes> headers,
                                      std::span<uint8_t> frame, size_t chunk_size) const {
  std::array<iovec, 2 * kMaxChunks> parts;
  for (size_t i = 0; i < headers.size(); ++i) {
    const std::span<uint8_t> rest = frame.subspan(i * chunk_size);
    parts[2 * i] = {headers[i].data(), kDatagramHeader};
    parts[2 * i + 1] = {rest.data(), std::min(chunk_size, rest.size())};
  }
  const std::span<iovec> all(parts.data(), 2 * headers.size());
  const size_t segment = kDatagramHeader + chunk_size;
  if (headers.size() > 1 && segments_.load(std::memory_order_relaxed)) {
    const size_t train = std::min(kMaxSegments, kMaxTrain / segment);
    const Sent sent = send_vectors(to, all, 2 * train, segment);
    if (segments_.load(std::memory_order_relaxed)) return sent;
  }
  return send_vectors(to, all, 2, 0);
}

// `per_call` parts make one message; with `segment` the kernel cuts it.
UdpSocket::Sent UdpSocket::send_vectors(const Endpoint& to, std::span<iovec> parts, size_t per_call,
                                        size_t segment) const {
  Control control;
  for (size_t at = 0; at < parts.size(); at += per_call) {
    msghdr message = message_to(to, parts.subspan(at, std::min(per_call, parts.size() - at)));
    if (segment > 0 && message.msg_iovlen > 2) add_segment_size(message, control, segment);
    while (::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EINTR) continue;
      if (errno == EMSGSIZE || (errno == EINVAL && segment > 0)) return Sent::too_big;
      // The interface does not compute checksums of what it segments (wireguard-go 6a84778).
      if (errno == EIO && segment > 0) segments_.store(false, std::memory_order_relaxed);
      return Sent::full;
    }
  }
  return Sent::all;
}

void UdpSocket::receive(const Take& take) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> parts{};
  std::array<Endpoint, kBatch> from{};
  std::array<Control, kBatch> control{};
  for (size_t i = 0; i < kBatch; ++i) {
    parts[i] = {buffers_.get() + i * kBuffer, kBuffer};
    msghdr& message = messages[i].msg_hdr;
    message.msg_name = &from[i].address;
    message.msg_namelen = sizeof from[i].address;
    message.msg_iov = &parts[i];
    message.msg_iovlen = 1;
    message.msg_control = control[i].bytes.data();
    message.msg_controllen = control[i].bytes.size();
  }
  const int n = ::recvmmsg(socket_.get(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < n; ++i) {
    const auto index = static_cast<size_t>(i);
    msghdr& message = messages[index].msg_hdr;
    from[index].length = message.msg_namelen;
    std::span<uint8_t> bytes(buffers_.get() + index * kBuffer, messages[index].msg_len);
    const size_t size = segment_size(message, bytes.size());
    while (!bytes.empty()) {
      const std::span<uint8_t> datagram = bytes.first(std::min(size, bytes.size()));
      take(from[index], datagram);
      bytes = bytes.subspan(datagram.size());
    }
  }
}

size_t UdpSocket::path_payload(const Endpoint& to) {
  const bool v6 = to.family() == AF_INET6;
  const UniqueFd probe(::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  int mtu = 0;
  socklen_t size = sizeof mtu;
  dont_fragment(probe.get(), to.family());
  if (!probe || ::connect(probe.get(), to.raw(), to.length) != 0 ||
      ::getsockopt(probe.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu,
                   &size) != 0)
    return kLeastPayload;
  const size_t headers = v6 ? 48 : 28;
  return std::clamp<size_t>(static_cast<size_t>(mtu) - headers, kLeastPayload / 3, kMaxTrain - 20);
}

}  // namespace conode::carrier
