// SPDX-License-Identifier: Apache-2.0
// How a user's network namespace gets its end of the job's VXLAN: over a SOCK_SEQPACKET socket, one
// packet with a descriptor or none there, one packet back. One thread for each end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "agent/base/result.h"
#include "netplug/link/address.h"
#include "netplug/link/netns.h"
#include "netplug/vxlan/settings.h"

namespace conode {

// What the job's VXLAN is on this host, and the user's end of it: the link is down when it comes,
// without an address.
struct VxlanEnd {
  std::string link;
  int mtu = 0;
  uint32_t vni = 0;
  uint32_t rank = 0;  // of this host
  Ipv4Prefix nodes;   // inside; what VxlanSettings says of them
  Ipv4Prefix pods;
  std::set<uint32_t> ranks;  // of all hosts, this one's included

  bool operator==(const VxlanEnd&) const = default;
};
[[nodiscard]] VxlanEnd end_of(const VxlanSettings& settings);
[[nodiscard]] std::string to_text(const VxlanEnd& end);
[[nodiscard]] Result<VxlanEnd> parse_vxlan_end(const std::string& text);

// The user's side. Both block for milliseconds, at most some seconds, and fail (ENOENT,
// ECONNREFUSED) where there is no keeper at `socket_path`. `ask` only asks; `request` gets an end
// in the namespace `netns` (a descriptor of its nsfs file). A former end goes.
[[nodiscard]] Result<UniqueFd> connect_to_keeper(const std::string& path);
[[nodiscard]] Result<VxlanEnd> ask_about_vxlan(const std::string& socket_path);
[[nodiscard]] Result<VxlanEnd> request_vxlan_end(const std::string& socket_path, int netns);

// The keeper's side: the namespace that a peer has sent; empty: it only asks. Fails, saying why,
// unless the peer is `user`, and what it sent is a network namespace of a user namespace that he
// has made, other than the one of `ours`.
[[nodiscard]] Result<std::optional<Netns>> receive_request(int connection, uid_t user,
                                                           const Netns& ours);
void answer(int connection, const Result<VxlanEnd>& end);

}  // namespace conode
