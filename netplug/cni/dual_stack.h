// SPDX-License-Identifier: Apache-2.0
// The second address of containers, where `ipam.range6` is set. Attached as the first one is:
// routed with a /128 and a link-local gateway that nobody has, or on the bridge. It follows from
// the IPv4 address, so it needs no reservation. Every function does nothing where there is no
// range6.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "netplug/cni/config.h"
#include "netplug/cni/error.h"
#include "netplug/cni/naming.h"
#include "netplug/link/socket.h"

namespace conode::cni {

struct DualStack {
  Ipv6Prefix address;   // as the container's interface has it: /128, or with the range's length
  Ipv6Address gateway;  // fe80::1, or the bridge's
};
[[nodiscard]] std::optional<DualStack> dual_stack_of(const NetworkConfig& config,
                                                     Ipv4Address address);

// Inside the container, and on the node: `link` is the end that is there.
[[nodiscard]] Result<void> set_up_container6(Socket& container, int link,
                                             const NetworkConfig& config, Ipv4Address address,
                                             const MacPair& macs);
[[nodiscard]] Result<void> set_up_node6(Socket& node, int link, const NetworkConfig& config,
                                        Ipv4Address address, const MacPair& macs);
// The bridge's own address.
[[nodiscard]] Result<void> set_up_bridge6(Socket& node, int bridge, const NetworkConfig& config);
// Before `address` is free for another container.
[[nodiscard]] Result<void> free_address6(Socket& node, int link, const NetworkConfig& config,
                                         Ipv4Address address);

[[nodiscard]] Result<void> look_at_container6(Socket& container, int link,
                                              const NetworkConfig& config, Ipv4Address address,
                                              std::vector<std::string>& problems);
[[nodiscard]] Result<void> look_at_node6(Socket& node, int link, const NetworkConfig& config,
                                         Ipv4Address address, std::vector<std::string>& problems);

}  // namespace conode::cni
