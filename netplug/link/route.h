// SPDX-License-Identifier: Apache-2.0
// IPv4 addresses, routes and neighbours through rtnetlink. Every operation takes the socket of the
// namespace it works in and blocks until the kernel has done it.
#pragma once

#include <optional>
#include <vector>

#include "agent/base/result.h"
#include "netplug/link/address.h"
#include "netplug/link/link.h"
#include "netplug/link/socket.h"

namespace conode {

// A route of the main table.
struct Route {
  Ipv4Prefix destination;              // {0.0.0.0, 0}: the default route
  int link = 0;                        // interface index; 0: unreachable (ICMP error at once)
  std::optional<Ipv4Address> gateway;  // absent: the destination is on the link
  bool onlink = false;                 // the gateway is on the link, whatever the routes say
  std::optional<Ipv4Address> source;   // preferred source address
};

// False when there is a route to the destination already (whatever it says).
[[nodiscard]] Result<bool> add_route(Socket& socket, const Route& route);
// Replaces a route to the same destination.
[[nodiscard]] Result<void> set_route(Socket& socket, const Route& route);
// False when there was none.
[[nodiscard]] Result<bool> delete_route(Socket& socket, const Route& route);
// Unicast and unreachable routes of the main table.
[[nodiscard]] Result<std::vector<Route>> list_routes(Socket& socket);

// Does the kernel add a route to the prefix with the address? (IFA_F_NOPREFIXROUTE)
enum class PrefixRoute { kernel, none };
// False when the link has that address already.
[[nodiscard]] Result<bool> add_address(Socket& socket, int link, const Ipv4Prefix& address,
                                       PrefixRoute route = PrefixRoute::kernel);
[[nodiscard]] Result<std::vector<Ipv4Prefix>> list_addresses(Socket& socket, int link);
// Fails (EADDRNOTAVAIL) where no interface has it.
[[nodiscard]] Result<Link> link_with_address(Socket& socket, Ipv4Address address);

// A permanent entry: `address` is never asked for by ARP on `link`. Replaces what was there.
[[nodiscard]] Result<void> set_neighbour(Socket& socket, int link, Ipv4Address address,
                                         const MacAddress& mac);

}  // namespace conode
