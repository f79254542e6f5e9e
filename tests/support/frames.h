// SPDX-License-Identifier: Apache-2.0
// Ethernet frames made by hand, to send what no protocol stack would.
#pragma once

#include <string>

#include "agent/base/unique_fd.h"
#include "netplug/link/address.h"
#include "netplug/link/netns.h"

namespace conode::test {

struct Addresses {
  MacAddress source;
  MacAddress destination;
  Ipv4Address from;
  Ipv4Address to;
};

// A UDP packet to port 9 with `text`.
[[nodiscard]] std::string ipv4_frame(const Addresses& addresses, const std::string& text);
// `rest` after the Ethernet header with that type.
[[nodiscard]] std::string ethernet_frame(const Addresses& addresses, uint16_t type,
                                         const std::string& rest);
// The payload of a UDP packet that carries it (RFC 7348, section 5).
[[nodiscard]] std::string vxlan_payload(uint32_t vni, const std::string& frame);

// Frames of one link, past the protocol stack.
class RawLink {
 public:
  [[nodiscard]] static Result<RawLink> open(const Netns& netns, const std::string& link);
  [[nodiscard]] Result<void> send(const std::string& frame) const;
  // The next frame that has arrived; fails after five seconds.
  [[nodiscard]] Result<std::string> receive() const;

 private:
  explicit RawLink(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
};

// One UDP packet from `netns`, from that port (0: any).
[[nodiscard]] Result<void> send_datagram(const Netns& netns, uint16_t from_port, Ipv4Address to,
                                         uint16_t port, const std::string& payload);

}  // namespace conode::test
