// SPDX-License-Identifier: Apache-2.0
// Linux bridges whose traffic passes netfilter (module br_netfilter), switched on for each bridge
// alone: the namespace-wide sysctl net.bridge.bridge-nf-call-iptables stays as it is. Every
// operation takes the socket of the namespace it works in and blocks until the kernel has done it.
// Source: kernel net/bridge/br_netlink.c, if_link.h (IFLA_BR_*, IFLA_BRPORT_*).
#pragma once

#include <optional>
#include <string>

#include "agent/base/result.h"
#include "netplug/link/link.h"

namespace conode {

struct BridgeSettings {
  std::string name;
  // Fixed: a bridge without one takes over that of a port, and changes it with the ports.
  MacAddress mac;
  int mtu = 0;  // bytes; 0: the kernel's 1500
};

struct Bridge {
  Link link;
  // IFLA_BR_NF_CALL_IPTABLES and IFLA_BR_NF_CALL_IP6TABLES.
  bool filters_ipv4 = false;
  bool filters_ipv6 = false;
};

// Up, without ports, filtering on. False when there is a link of that name already.
[[nodiscard]] Result<bool> create_bridge(Socket& socket, const BridgeSettings& settings);

// Nothing where there is no link of that name; a link of another kind is a failure (EINVAL).
[[nodiscard]] Result<std::optional<Bridge>> find_bridge(Socket& socket, const std::string& name);

[[nodiscard]] Result<void> set_bridge_filtering(Socket& socket, int index, bool on);
// Neither netfilter nor snooping of multicast: frames pass unread.
[[nodiscard]] Result<void> make_bridge_plain(Socket& socket, int index);

// What a bridge does with one of its ports.
struct PortSettings {
  bool hairpin = false;   // frames may leave through the port that they came in by
  bool isolated = false;  // no frames to and from other isolated ports
  bool learning = true;  // remembers which addresses are behind it; where not: frames go everywhere
};
// EOPNOTSUPP where the link is no bridge's port.
[[nodiscard]] Result<void> set_bridge_port(Socket& socket, int index, const PortSettings& settings);
[[nodiscard]] Result<PortSettings> bridge_port(Socket& socket, int index);

// Nothing passes through the port from now on (nothing to do where it is down or gone). At once,
// unlike taking it off the bridge.
[[nodiscard]] Result<void> disable_bridge_port(Socket& socket, int index);

// Is br_netfilter in the running kernel? Without it filtering can be switched on and does nothing.
[[nodiscard]] bool has_bridge_netfilter();

}  // namespace conode
