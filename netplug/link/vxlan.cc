// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/vxlan.h"

#include <fmt/format.h>
#include <linux/neighbour.h>
#include <netlink/route/link/vxlan.h>

#include "netplug/link/nl.h"

namespace conode {

Result<bool> create_vxlan(Socket& underlay, const VxlanDevice& device) {
  const std::string what = fmt::format("create VXLAN '{}' with VNI {} at {}:{}", device.name,
                                       device.vni, device.local.text(), device.port);
  const nl::Ptr<rtnl_link> link(::rtnl_link_vxlan_alloc());
  const nl::Ptr<nl_addr> local = nl::address(Ipv4Prefix{device.local, 32});
  if (!link || !local) return code_failure(ENOMEM, what);
  ::rtnl_link_set_name(link.get(), device.name.c_str());
  if (device.mac) ::rtnl_link_set_addr(link.get(), nl::address(*device.mac).get());
  if (device.mtu > 0) ::rtnl_link_set_mtu(link.get(), static_cast<unsigned>(device.mtu));
  int error = ::rtnl_link_vxlan_set_id(link.get(), device.vni);
  if (error >= 0 && device.local.value != 0)
    error = ::rtnl_link_vxlan_set_local(link.get(), local.get());
  if (error >= 0) error = ::rtnl_link_vxlan_set_port(link.get(), device.port);
  if (error >= 0) error = ::rtnl_link_vxlan_set_learning(link.get(), 0);
  ifla_vxlan_port_range range{.low = __builtin_bswap16(device.first_source_port),
                              .high = __builtin_bswap16(device.last_source_port)};
  if (error >= 0 && device.first_source_port != 0)
    error = ::rtnl_link_vxlan_set_port_range(link.get(), &range);
  if (error < 0) return code_failure(nl::errno_of(error), what);
  if (device.netns != nullptr) ::rtnl_link_set_ns_fd(link.get(), device.netns->fd());
  nl_msg* built = nullptr;
  if (::rtnl_link_build_add_request(link.get(), NLM_F_CREATE | NLM_F_EXCL, &built) < 0)
    return code_failure(ENOMEM, what);
  const nl::Ptr<nl_msg> message(built);
  const Result<void> done = underlay.request(message.get(), what);
  if (done) return true;
  if (done.error().is(std::errc::file_exists)) return false;
  return tl::make_unexpected(done.error());
}

Result<void> add_vxlan_peer(Socket& socket, int index, const MacAddress& mac, Ipv4Address peer,
                            uint16_t port) {
  const std::string what = fmt::format("add VXLAN peer {} to link {}", peer.text(), index);
  const nl::Ptr<rtnl_neigh> entry(::rtnl_neigh_alloc());
  if (!entry) return code_failure(ENOMEM, what);
  // Before the family: libnl takes no destination of another one.
  ::rtnl_neigh_set_dst(entry.get(), nl::address(Ipv4Prefix{peer, 32}).get());
  ::rtnl_neigh_set_family(entry.get(), AF_BRIDGE);
  ::rtnl_neigh_set_ifindex(entry.get(), index);
  ::rtnl_neigh_set_flags(entry.get(), NTF_SELF);
  ::rtnl_neigh_set_state(entry.get(), NUD_PERMANENT | NUD_NOARP);
  ::rtnl_neigh_set_lladdr(entry.get(), nl::address(mac).get());
  nl_msg* built = nullptr;
  if (const int error =
          ::rtnl_neigh_build_add_request(entry.get(), NLM_F_CREATE | NLM_F_REPLACE, &built);
      error < 0)
    return code_failure(nl::errno_of(error), what);
  const nl::Ptr<nl_msg> message(built);
  // libnl's neighbours know no port (ndmsg attributes: linux/neighbour.h).
  if (port != 0 && ::nla_put_u16(message.get(), NDA_PORT, __builtin_bswap16(port)) < 0)
    return code_failure(ENOMEM, what);
  return socket.request(message.get(), what);
}

}  // namespace conode
