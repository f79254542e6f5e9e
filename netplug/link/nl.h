// SPDX-License-Identifier: Apache-2.0
// Private to this folder: owners of libnl's objects.
#pragma once

#include <netlink/addr.h>
#include <netlink/cache.h>
#include <netlink/handlers.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>

#include <memory>

#include "netplug/link/address.h"

namespace conode::nl {

// One overload for each libnl type that we own.
struct Deleter {
  void operator()(nl_sock* p) const { ::nl_socket_free(p); }
  void operator()(nl_cb* p) const { ::nl_cb_put(p); }
  void operator()(nl_msg* p) const { ::nlmsg_free(p); }
  void operator()(nl_cache* p) const { ::nl_cache_free(p); }
  void operator()(nl_addr* p) const { ::nl_addr_put(p); }
  void operator()(rtnl_link* p) const { ::rtnl_link_put(p); }
  void operator()(rtnl_addr* p) const { ::rtnl_addr_put(p); }
  void operator()(rtnl_route* p) const { ::rtnl_route_put(p); }
  void operator()(rtnl_neigh* p) const { ::rtnl_neigh_put(p); }
};

template <typename T>
using Ptr = std::unique_ptr<T, Deleter>;

// libnl copies what it is given, so these are temporaries. Null only when memory is out.
[[nodiscard]] inline Ptr<nl_addr> address(const Ipv4Prefix& prefix) {
  const uint32_t raw = __builtin_bswap32(prefix.address.value);
  Ptr<nl_addr> made(::nl_addr_build(AF_INET, &raw, sizeof raw));
  if (made) ::nl_addr_set_prefixlen(made.get(), prefix.length);
  return made;
}

[[nodiscard]] inline Ptr<nl_addr> address(const MacAddress& mac) {
  return Ptr<nl_addr>(::nl_addr_build(AF_LLC, mac.bytes.data(), mac.bytes.size()));
}

// A libnl error number as the errno it came from.
[[nodiscard]] int errno_of(int nl_error);

}  // namespace conode::nl
