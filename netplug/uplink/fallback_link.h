// SPDX-License-Identifier: Apache-2.0
// The sandbox's side of the uplink `fallback`: a kernel VXLAN of the sandbox's own, whose packets
// leave and arrive through pasta or slirp4netns (netplug/link/egress_link.h). Nothing authenticates
// them: packets are taken from the hosts of the job, by their addresses, and whoever can send from
// one of those can forge. On it sits a VxlanLink, as on the VXLAN that root makes. In the calling
// thread's network namespace, in which it needs CAP_NET_ADMIN.
#pragma once

#include <cstdint>

#include "agent/base/result.h"
#include "netplug/link/address.h"

namespace conode {

// UDP, inside of the sandbox: the ports of hosts that lead there are their agents' choice.
inline constexpr uint16_t kFallbackPort = 4789;

// The device kVxlanLink, down. Packets from nobody are taken yet. `mtu`: bytes inside.
[[nodiscard]] Result<void> make_fallback_link(uint32_t rank, int mtu);

// The node of that rank is reached at `port` of `host`, and its packets are taken. Doing it again,
// also with another host or port, is fine.
[[nodiscard]] Result<void> add_fallback_peer(uint32_t rank, Ipv4Address host, uint16_t port);

}  // namespace conode
