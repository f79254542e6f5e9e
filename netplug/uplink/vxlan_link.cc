// SPDX-License-Identifier: Apache-2.0
#include "netplug/uplink/vxlan_link.h"

#include <fmt/format.h>

#include "netplug/link/link.h"
#include "netplug/link/route.h"
#include "netplug/link/sysctl.h"
#include "netplug/uplink/tun.h"
#include "netplug/vxlan/settings.h"

namespace conode {
namespace {

// While the nodes change over, packets arrive on one of the two links whose way back is the other.
Result<void> accept_from_both_uplinks() {
  for (const char* link : {kVxlanLink, kRelayLink}) {
    const Result<void> done = set_network_sysctl(fmt::format("ipv4/conf/{}/rp_filter", link), "2");
    if (!done && !done.error().is(std::errc::no_such_file_or_directory)) return done;
  }
  return {};
}

// An address for what is masqueraded on its way out: that of the node, as on its own link.
Result<int> bring_up(Socket& socket, const VxlanLinkOptions& options) {
  const int index = TRY(link_index(socket, kVxlanLink));
  TRY(accept_from_both_uplinks());
  TRY(add_address(socket, index, {node_address(options.nodes, options.rank), 32},
                  PrefixRoute::none));
  TRY(set_link_up(socket, index));
  return index;
}

}  // namespace

Result<VxlanLink> VxlanLink::set_up(const VxlanLinkOptions& options) {
  Socket socket = TRY(Socket::open());
  const int index = TRY_AS("set up the job's VXLAN", bring_up(socket, options));
  return VxlanLink(options, std::move(socket), index);
}

Route VxlanLink::route_to_pods(uint32_t rank) const {
  return {.destination = pods_of_node(options_.pods, rank),
          .link = index_,
          .gateway = node_address(options_.nodes, rank),
          .onlink = true,
          .source = node_address(options_.nodes, options_.rank)};
}

Result<void> VxlanLink::add_peer(uint32_t rank) {
  const Ipv4Address peer = node_address(options_.nodes, rank);
  const Ipv4Address own = node_address(options_.nodes, options_.rank);
  const std::string what = fmt::format("lead to node {} over the job's VXLAN", rank);
  TRY_AS(what, set_neighbour(socket_, index_, peer, vxlan_mac(rank)));
  TRY_AS(what, set_route(socket_, {.destination = {peer, 32}, .link = index_, .source = own}));
  TRY_AS(what, set_route(socket_, route_to_pods(rank)));
  return {};
}

Result<void> VxlanLink::remove_peer(uint32_t rank) {
  const Ipv4Address peer = node_address(options_.nodes, rank);
  TRY(delete_route(socket_, route_to_pods(rank)));
  TRY(delete_route(socket_, {.destination = {peer, 32}, .link = index_}));
  return {};
}

}  // namespace conode
