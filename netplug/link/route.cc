// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/route.h"

#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "netplug/link/nl.h"

namespace conode {
namespace {

// How rtnetlink calls what was there or was absent already: a value, not a failure.
Result<bool> unless(std::errc expected, const Result<void>& done) {
  if (done) return true;
  if (done.error().is(expected)) return false;
  return tl::make_unexpected(done.error());
}

Result<nl::Ptr<rtnl_route>> build(const Route& route) {
  nl::Ptr<rtnl_route> raw(::rtnl_route_alloc());
  rtnl_nexthop* hop = ::rtnl_route_nh_alloc();
  if (!raw || hop == nullptr) return code_failure(ENOMEM, "allocate a route");
  ::rtnl_route_set_family(raw.get(), AF_INET);
  ::rtnl_route_set_table(raw.get(), RT_TABLE_MAIN);
  ::rtnl_route_set_protocol(raw.get(), RTPROT_STATIC);
  ::rtnl_route_set_type(raw.get(), route.link == 0 ? RTN_UNREACHABLE : RTN_UNICAST);
  ::rtnl_route_set_scope(raw.get(),
                         route.link == 0 || route.gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
  ::rtnl_route_set_dst(raw.get(), nl::address(route.destination).get());
  if (route.source)
    ::rtnl_route_set_pref_src(raw.get(), nl::address(Ipv4Prefix{*route.source, 32}).get());
  if (route.link != 0) ::rtnl_route_nh_set_ifindex(hop, route.link);
  if (route.gateway)
    ::rtnl_route_nh_set_gateway(hop, nl::address(Ipv4Prefix{*route.gateway, 32}).get());
  if (route.onlink) {
    ::rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
    ::rtnl_route_set_flags(raw.get(), RTNH_F_ONLINK);
  }
  ::rtnl_route_add_nexthop(raw.get(), hop);  // the route owns it now
  return raw;
}

std::string name_of(const Route& route) {
  return fmt::format("route to '{}'", route.destination.text());
}

Result<void> send_route(Socket& socket, const Route& route, int flags) {
  const std::string what = "add " + name_of(route);
  const nl::Ptr<rtnl_route> raw = TRY_AS(what, build(route));
  nl_msg* built = nullptr;
  if (const int error = ::rtnl_route_build_add_request(raw.get(), flags, &built); error < 0)
    return code_failure(nl::errno_of(error), what);
  const nl::Ptr<nl_msg> message(built);
  return socket.request(message.get(), what);
}

Ipv4Prefix prefix_of(nl_addr* address) {
  Ipv4Prefix prefix{.length = static_cast<int>(::nl_addr_get_prefixlen(address))};
  if (::nl_addr_get_len(address) == sizeof(uint32_t)) {
    uint32_t raw = 0;
    __builtin_memcpy(&raw, ::nl_addr_get_binary_addr(address), sizeof raw);
    prefix.address.value = __builtin_bswap32(raw);
  }
  return prefix;
}

Route describe(rtnl_route* raw) {
  Route route{.destination = prefix_of(::rtnl_route_get_dst(raw))};
  if (nl_addr* source = ::rtnl_route_get_pref_src(raw)) route.source = prefix_of(source).address;
  if (::rtnl_route_get_nnexthops(raw) == 0) return route;
  rtnl_nexthop* hop = ::rtnl_route_nexthop_n(raw, 0);
  route.link = ::rtnl_route_nh_get_ifindex(hop);
  if (nl_addr* gateway = ::rtnl_route_nh_get_gateway(hop))
    route.gateway = prefix_of(gateway).address;
  route.onlink = (::rtnl_route_nh_get_flags(hop) & RTNH_F_ONLINK) != 0;
  return route;
}

}  // namespace

Result<bool> add_route(Socket& socket, const Route& route) {
  return unless(std::errc::file_exists, send_route(socket, route, NLM_F_CREATE | NLM_F_EXCL));
}

Result<void> set_route(Socket& socket, const Route& route) {
  return send_route(socket, route, NLM_F_CREATE | NLM_F_REPLACE);
}

Result<bool> delete_route(Socket& socket, const Route& route) {
  const std::string what = "delete " + name_of(route);
  const nl::Ptr<rtnl_route> raw = TRY_AS(what, build(route));
  nl_msg* built = nullptr;
  if (const int error = ::rtnl_route_build_del_request(raw.get(), 0, &built); error < 0)
    return code_failure(nl::errno_of(error), what);
  const nl::Ptr<nl_msg> message(built);
  return unless(std::errc::no_such_process, socket.request(message.get(), what));
}

Result<std::vector<Route>> list_routes(Socket& socket) {
  nl_cache* dumped = nullptr;
  if (const int error = ::rtnl_route_alloc_cache(socket.native(), AF_INET, 0, &dumped); error < 0)
    return code_failure(nl::errno_of(error), "list routes");
  const nl::Ptr<nl_cache> cache(dumped);
  std::vector<Route> routes;
  for (nl_object* at = ::nl_cache_get_first(cache.get()); at != nullptr;
       at = ::nl_cache_get_next(at)) {
    auto* raw = reinterpret_cast<rtnl_route*>(at);
    const int type = ::rtnl_route_get_type(raw);
    if (::rtnl_route_get_table(raw) != RT_TABLE_MAIN) continue;
    if (type == RTN_UNICAST || type == RTN_UNREACHABLE) routes.push_back(describe(raw));
  }
  return routes;
}

Result<bool> add_address(Socket& socket, int link, const Ipv4Prefix& address, PrefixRoute route) {
  const std::string what = fmt::format("add address '{}' to link {}", address.text(), link);
  const nl::Ptr<rtnl_addr> raw(::rtnl_addr_alloc());
  if (!raw) return code_failure(ENOMEM, what);
  ::rtnl_addr_set_ifindex(raw.get(), link);
  ::rtnl_addr_set_local(raw.get(), nl::address(address).get());
  if (route == PrefixRoute::none) ::rtnl_addr_set_flags(raw.get(), IFA_F_NOPREFIXROUTE);
  nl_msg* built = nullptr;
  if (const int error = ::rtnl_addr_build_add_request(raw.get(), NLM_F_CREATE | NLM_F_EXCL, &built);
      error < 0)
    return code_failure(nl::errno_of(error), what);
  const nl::Ptr<nl_msg> message(built);
  return unless(std::errc::file_exists, socket.request(message.get(), what));
}

Result<std::vector<Ipv4Prefix>> list_addresses(Socket& socket, int link) {
  nl_cache* dumped = nullptr;
  if (const int error = ::rtnl_addr_alloc_cache(socket.native(), &dumped); error < 0)
    return code_failure(nl::errno_of(error), "list addresses");
  const nl::Ptr<nl_cache> cache(dumped);
  std::vector<Ipv4Prefix> addresses;
  for (nl_object* at = ::nl_cache_get_first(cache.get()); at != nullptr;
       at = ::nl_cache_get_next(at)) {
    auto* raw = reinterpret_cast<rtnl_addr*>(at);
    if (::rtnl_addr_get_ifindex(raw) != link || ::rtnl_addr_get_family(raw) != AF_INET) continue;
    addresses.push_back(prefix_of(::rtnl_addr_get_local(raw)));
  }
  return addresses;
}

Result<void> set_neighbour(Socket& socket, int link, Ipv4Address address, const MacAddress& mac) {
  const std::string what = fmt::format("add neighbour '{}' to link {}", address.text(), link);
  const nl::Ptr<rtnl_neigh> raw(::rtnl_neigh_alloc());
  if (!raw) return code_failure(ENOMEM, what);
  ::rtnl_neigh_set_ifindex(raw.get(), link);
  ::rtnl_neigh_set_state(raw.get(), NUD_PERMANENT);
  ::rtnl_neigh_set_dst(raw.get(), nl::address(Ipv4Prefix{address, 32}).get());
  ::rtnl_neigh_set_lladdr(raw.get(), nl::address(mac).get());
  nl_msg* built = nullptr;
  if (const int error =
          ::rtnl_neigh_build_add_request(raw.get(), NLM_F_CREATE | NLM_F_REPLACE, &built);
      error < 0)
    return code_failure(nl::errno_of(error), what);
  const nl::Ptr<nl_msg> message(built);
  return socket.request(message.get(), what);
}

Result<Link> link_with_address(Socket& socket, Ipv4Address address) {
  for (const Link& link : TRY(list_links(socket)))
    for (const Ipv4Prefix& own : TRY(list_addresses(socket, link.index)))
      if (own.address == address) return link;
  return code_failure(EADDRNOTAVAIL,
                      fmt::format("no interface of this host has the address {}", address.text()));
}

}  // namespace conode
