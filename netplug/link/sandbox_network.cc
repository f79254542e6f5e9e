// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/sandbox_network.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "netplug/link/link.h"
#include "netplug/link/route.h"
#include "netplug/link/socket.h"
#include "netplug/link/sysctl.h"

namespace conode {
namespace {

// Values that every network namespace of a node wants, before the first interface is made: new
// interfaces copy `default`.
constexpr std::array<std::pair<const char*, const char*>, 5> kSettings{{
    {"ipv4/ip_forward", "1"},
    // Pods' interfaces drop forged sources (their /32 routes are symmetric); `all` at 0 lets each
    // interface decide, because the kernel takes the greater of the two.
    {"ipv4/conf/all/rp_filter", "0"},
    {"ipv4/conf/default/rp_filter", "1"},
    // A pod that reaches itself through a Service leaves by the interface it came from.
    {"ipv4/conf/all/send_redirects", "0"},
    {"ipv4/conf/default/send_redirects", "0"},
}};

// The node's own link: other networks may arrive on it, so it is not strict; and an address that
// nobody answers for is reported after 10 ms instead of 3 s (pods and image pulls without egress).
constexpr std::array<std::pair<const char*, const char*>, 3> kNodeLinkSettings{{
    {"ipv4/conf/cn0/rp_filter", "2"},
    {"ipv4/neigh/cn0/mcast_solicit", "1"},
    {"ipv4/neigh/cn0/retrans_time_ms", "10"},
}};

Result<int> index_of(Socket& socket, const std::string& name) {
  const std::optional<Link> link = TRY(find_link(socket, name));
  if (!link) return code_failure(ENODEV, fmt::format("find link '{}'", name));
  return link->index;
}

Result<void> set_up(const NodeNetwork& network) {
  const Ipv4Address node = TRY(Ipv4Address::parse(network.node_address));
  const Ipv4Prefix pods = TRY(Ipv4Prefix::parse(network.pod_prefix));
  for (const auto& [name, value] : kSettings) TRY(set_network_sysctl(name, value));
  Socket socket = TRY(Socket::open());
  const int loopback = TRY(index_of(socket, "lo"));
  TRY(set_link_up(socket, loopback));
  // A veth pair whose other end stays here: the one kind of link that every kernel has and that is
  // up without a partner (there may be no dummy module, and users cannot load one).
  TRY(create_veth(socket, {.name = kNodeLink, .peer_name = kNodeLinkPeer, .mtu = network.mtu}));
  const int link = TRY(index_of(socket, kNodeLink));
  const int peer = TRY(index_of(socket, kNodeLinkPeer));
  TRY(set_link_up(socket, peer));
  for (const auto& [name, value] : kNodeLinkSettings) TRY(set_network_sysctl(name, value));
  TRY(add_address(socket, link, {node, network.prefix_length}));
  // Kubernetes' programs look for the default route to find the node's address, and the way to a
  // Service's address must exist before kube-proxy's rules can rewrite it.
  TRY(set_route(socket, {.destination = {{}, 0}, .link = link, .source = node}));
  // Pods have /32 routes; the address of a pod that is gone fails at once.
  TRY(set_route(socket, {.destination = {pods.network(), pods.length}}));
  return {};
}

}  // namespace

Result<void> setup_sandbox_network(const NodeNetwork& network) {
  TRY_AS("set up the sandbox's network", set_up(network));
  return {};
}

}  // namespace conode
