// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/ipv6.h"

#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "netplug/link/nl.h"

namespace conode {
namespace {

nl::Ptr<nl_addr> address_of(const Ipv6Prefix& prefix) {
  nl::Ptr<nl_addr> made(
      ::nl_addr_build(AF_INET6, prefix.address.bytes.data(), prefix.address.bytes.size()));
  if (made) ::nl_addr_set_prefixlen(made.get(), prefix.length);
  return made;
}

// Sends what `build` makes.
template <typename Build>
Result<void> send(Socket& socket, const std::string& what, const Build& build) {
  nl_msg* built = nullptr;
  if (const int error = build(&built); error < 0) return code_failure(nl::errno_of(error), what);
  const nl::Ptr<nl_msg> message(built);
  return socket.request(message.get(), what);
}

Result<bool> unless(std::errc expected, const Result<void>& done) {
  if (done) return true;
  if (done.error().is(expected)) return false;
  return tl::make_unexpected(done.error());
}

nl::Ptr<rtnl_route> build(const Ipv6Route& route) {
  nl::Ptr<rtnl_route> raw(::rtnl_route_alloc());
  rtnl_nexthop* hop = ::rtnl_route_nh_alloc();
  if (!raw || hop == nullptr) return nullptr;
  ::rtnl_route_set_family(raw.get(), AF_INET6);
  ::rtnl_route_set_table(raw.get(), RT_TABLE_MAIN);
  ::rtnl_route_set_protocol(raw.get(), RTPROT_STATIC);
  ::rtnl_route_set_type(raw.get(), RTN_UNICAST);
  ::rtnl_route_set_scope(raw.get(), RT_SCOPE_UNIVERSE);
  ::rtnl_route_set_dst(raw.get(), address_of(route.destination).get());
  ::rtnl_route_nh_set_ifindex(hop, route.link);
  if (route.gateway) ::rtnl_route_nh_set_gateway(hop, address_of({*route.gateway, 128}).get());
  if (route.onlink) {
    ::rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
    ::rtnl_route_set_flags(raw.get(), RTNH_F_ONLINK);
  }
  ::rtnl_route_add_nexthop(raw.get(), hop);  // the route owns it now
  return raw;
}

nl::Ptr<rtnl_addr> build(int link, const Ipv6Prefix& address) {
  nl::Ptr<rtnl_addr> raw(::rtnl_addr_alloc());
  if (!raw) return raw;
  ::rtnl_addr_set_ifindex(raw.get(), link);
  ::rtnl_addr_set_local(raw.get(), address_of(address).get());
  ::rtnl_addr_set_flags(raw.get(), IFA_F_NODAD);
  return raw;
}

// Does `matches` hold for one of the kernel's objects of one kind?
template <typename Allocate, typename Matches>
Result<bool> any_of(const char* what, const Allocate& allocate, const Matches& matches) {
  nl_cache* dumped = nullptr;
  if (const int error = allocate(&dumped); error < 0)
    return code_failure(nl::errno_of(error), what);
  const nl::Ptr<nl_cache> cache(dumped);
  for (nl_object* at = ::nl_cache_get_first(cache.get()); at != nullptr;
       at = ::nl_cache_get_next(at))
    if (matches(at)) return true;
  return false;
}

bool same(nl_addr* found, const Ipv6Prefix& wanted) {
  if (found == nullptr || static_cast<int>(::nl_addr_get_prefixlen(found)) != wanted.length)
    return false;
  return wanted.length == 0 || ::nl_addr_cmp(found, address_of(wanted).get()) == 0;
}

}  // namespace

Result<bool> add_address(Socket& socket, int link, const Ipv6Prefix& address) {
  const std::string what = fmt::format("add address '{}' to link {}", address.text(), link);
  const nl::Ptr<rtnl_addr> raw = build(link, address);
  if (!raw) return code_failure(ENOMEM, what);
  return unless(std::errc::file_exists, send(socket, what, [&](nl_msg** message) {
                  return ::rtnl_addr_build_add_request(raw.get(), NLM_F_CREATE | NLM_F_EXCL,
                                                       message);
                }));
}

Result<bool> has_address(Socket& socket, int link, const Ipv6Prefix& address) {
  return any_of(
      "list IPv6 addresses",
      [&](nl_cache** cache) { return ::rtnl_addr_alloc_cache(socket.native(), cache); },
      [&](nl_object* at) {
        auto* raw = reinterpret_cast<rtnl_addr*>(at);
        return ::rtnl_addr_get_family(raw) == AF_INET6 && ::rtnl_addr_get_ifindex(raw) == link &&
               same(::rtnl_addr_get_local(raw), address);
      });
}

Result<void> set_route(Socket& socket, const Ipv6Route& route) {
  const std::string what = fmt::format("add route to '{}'", route.destination.text());
  const nl::Ptr<rtnl_route> raw = build(route);
  if (!raw) return code_failure(ENOMEM, what);
  return send(socket, what, [&](nl_msg** message) {
    return ::rtnl_route_build_add_request(raw.get(), NLM_F_CREATE | NLM_F_REPLACE, message);
  });
}

Result<bool> delete_route(Socket& socket, const Ipv6Route& route) {
  const std::string what = fmt::format("delete route to '{}'", route.destination.text());
  const nl::Ptr<rtnl_route> raw = build(route);
  if (!raw) return code_failure(ENOMEM, what);
  return unless(std::errc::no_such_process, send(socket, what, [&](nl_msg** message) {
                  return ::rtnl_route_build_del_request(raw.get(), 0, message);
                }));
}

Result<bool> has_route(Socket& socket, const Ipv6Prefix& destination, int link) {
  return any_of(
      "list IPv6 routes",
      [&](nl_cache** cache) {
        return ::rtnl_route_alloc_cache(socket.native(), AF_INET6, 0, cache);
      },
      [&](nl_object* at) {
        auto* raw = reinterpret_cast<rtnl_route*>(at);
        return ::rtnl_route_get_table(raw) == RT_TABLE_MAIN &&
               ::rtnl_route_get_nnexthops(raw) > 0 &&
               ::rtnl_route_nh_get_ifindex(::rtnl_route_nexthop_n(raw, 0)) == link &&
               same(::rtnl_route_get_dst(raw), destination);
      });
}

Result<void> set_neighbour(Socket& socket, int link, const Ipv6Address& address,
                           const MacAddress& mac) {
  const std::string what = fmt::format("add neighbour '{}' to link {}", address.text(), link);
  const nl::Ptr<rtnl_neigh> raw(::rtnl_neigh_alloc());
  if (!raw) return code_failure(ENOMEM, what);
  ::rtnl_neigh_set_ifindex(raw.get(), link);
  ::rtnl_neigh_set_state(raw.get(), NUD_PERMANENT);
  ::rtnl_neigh_set_dst(raw.get(), address_of({address, 128}).get());
  ::rtnl_neigh_set_lladdr(raw.get(), nl::address(mac).get());
  return send(socket, what, [&](nl_msg** message) {
    return ::rtnl_neigh_build_add_request(raw.get(), NLM_F_CREATE | NLM_F_REPLACE, message);
  });
}

}  // namespace conode
