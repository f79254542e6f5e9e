// SPDX-License-Identifier: Apache-2.0
// The sandbox's side of the relay: a multi-queue TUN device. Pods are routed, so frames are IP
// packets without an Ethernet header, and no neighbour is ever asked for. Its queues' descriptors
// may be used from any namespace and by any user: the sandbox's init makes them, hands them to the
// agent over its socket (SCM_RIGHTS) and closes its own. The device goes with the last descriptor.
// Source: kernel Documentation/networking/tuntap.rst.
#pragma once

#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode {

inline constexpr const char* kRelayLink = "cnr0";
inline constexpr const char* kTunDevice = "/dev/net/tun";
// Inside the overlay: an IP packet of almost 64 KiB is one frame, however small the underlay's MTU.
inline constexpr int kRelayMtu = 65000;

struct TunOptions {
  std::string name = kRelayLink;
  size_t queues = 2;                // at most 16: one for each thread pair of the relay
  int mtu = kRelayMtu;              // bytes of an IP packet
  std::string node_address;         // source of what the node itself sends: "10.88.0.1"
  std::vector<std::string> routes;  // what is behind the relay: "10.88.0.0/16", "10.244.0.0/16"
  std::string device = kTunDevice;
};

struct TunQueues {
  std::vector<UniqueFd> fds;              // non-blocking, IFF_VNET_HDR of 10 bytes, little endian
  bool udp_segmentation_offload = false;  // TUN_F_USO4|6: Linux 6.2
};

// In the calling thread's network namespace, in which it needs CAP_NET_ADMIN. Up and routed when it
// returns; a route that is there already is replaced, more specific ones stay. Fails with the
// remedy where `device` is absent (ENOENT), closed to the user (EACCES) or dead (ENODEV: no
// module).
[[nodiscard]] Result<TunQueues> open_tun(const TunOptions& options);

}  // namespace conode
