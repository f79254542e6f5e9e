// SPDX-License-Identifier: Apache-2.0
// IPv6 addresses, routes and neighbours of links through rtnetlink, beside route.h's of IPv4. Every
// operation takes the socket of the namespace it works in and blocks until the kernel has done it.
#pragma once

#include <optional>

#include "agent/base/result.h"
#include "netplug/link/address.h"
#include "netplug/link/socket.h"

namespace conode {

// A route of the main table through a link.
struct Ipv6Route {
  Ipv6Prefix destination;  // {{}, 0}: the default route
  int link = 0;            // interface index
  std::optional<Ipv6Address> gateway;
  bool onlink = false;  // the gateway is on the link, whatever the routes say
};

// Usable at once: without duplicate address detection (IFA_F_NODAD), which takes a second or two.
// False when the link has it already; EACCES where IPv6 is switched off (disable_ipv6).
[[nodiscard]] Result<bool> add_address(Socket& socket, int link, const Ipv6Prefix& address);
[[nodiscard]] Result<bool> has_address(Socket& socket, int link, const Ipv6Prefix& address);

// Replaces a route to the same destination.
[[nodiscard]] Result<void> set_route(Socket& socket, const Ipv6Route& route);
// False when there was none.
[[nodiscard]] Result<bool> delete_route(Socket& socket, const Ipv6Route& route);
// To exactly that destination, through that link.
[[nodiscard]] Result<bool> has_route(Socket& socket, const Ipv6Prefix& destination, int link);

// A permanent entry: nobody is asked for `address` on `link`. Replaces what was there.
[[nodiscard]] Result<void> set_neighbour(Socket& socket, int link, const Ipv6Address& address,
                                         const MacAddress& mac);

}  // namespace conode
