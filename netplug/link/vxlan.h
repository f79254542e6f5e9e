// SPDX-License-Identifier: Apache-2.0
// VXLAN devices (RFC 7348) that send to a fixed list of peers only: nothing is learned from
// traffic, and a frame for an address that nobody has named goes nowhere. Every operation takes the
// socket of the namespace it works in and blocks until the kernel has done it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/base/result.h"
#include "netplug/link/address.h"
#include "netplug/link/netns.h"
#include "netplug/link/socket.h"

namespace conode {

struct VxlanDevice {
  std::string name;
  uint32_t vni = 0;                // 24 bits
  Ipv4Address local;               // of the underlay; 0.0.0.0: as its routes say
  std::optional<MacAddress> mac;   // absent: the kernel's random one
  uint16_t port = 4789;            // UDP, where it listens and sends to
  uint16_t first_source_port = 0;  // UDP ports that it sends from; 0: the kernel's choice
  uint16_t last_source_port = 0;   // included
  int mtu = 0;                     // bytes; 0: the kernel's
  const Netns* netns = nullptr;    // where the device appears; null: the socket's namespace
};

// Encapsulated packets leave and arrive in the namespace of `underlay`, wherever the device is.
// False when that namespace has a VXLAN of this VNI and port already (or `netns` the name).
[[nodiscard]] Result<bool> create_vxlan(Socket& underlay, const VxlanDevice& device);

// Frames to `mac` go to `peer`, at the device's port or, where it is not 0, at `port`. In the
// namespace of the device.
[[nodiscard]] Result<void> add_vxlan_peer(Socket& socket, int index, const MacAddress& mac,
                                          Ipv4Address peer, uint16_t port = 0);

}  // namespace conode
