// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/egress_link.h"

#include <fmt/format.h>

#include "netplug/link/link.h"
#include "netplug/link/nft.h"
#include "netplug/link/route.h"
#include "netplug/link/sandbox_network.h"

namespace conode {
namespace {

// First add, so that there is something to delete (nft(8)). The program's own addresses are not to
// be talked to, but for the resolver: it would pass them on to the host's network. In an address
// translation of ours a reply finds its pod again.
std::string rules() {
  return fmt::format(R"(add table ip conode-egress
delete table ip conode-egress
table ip conode-egress {{
  chain guard {{
    ip daddr {resolver} meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr {prefix} reject with icmp host-unreachable
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    oifname "{device}" jump guard
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname "{device}" jump guard
    iifname "{device}" ct state new drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "{device}" ct state new drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{device}" masquerade
  }}
}}
)",
                     fmt::arg("device", kEgressDevice), fmt::arg("prefix", kEgressPrefix),
                     fmt::arg("resolver", kEgressResolver));
}

// What is inside stays there: these are longer than the halves of everything.
Result<void> keep_inside(Socket& socket, const EgressLink& egress) {
  const int node = TRY(link_index(socket, kNodeLink));
  const Ipv4Address source = TRY(Ipv4Address::parse(egress.node_address));
  for (const std::string& text : egress.inside) {
    const Ipv4Prefix prefix = TRY(Ipv4Prefix::parse(text));
    TRY(set_route(
        socket,
        {.destination = {prefix.network(), prefix.length}, .link = node, .source = source}));
  }
  // On a job of several nodes the uplink has the pods' prefix.
  const Ipv4Prefix pods = TRY(Ipv4Prefix::parse(egress.pod_prefix));
  TRY(add_route(socket, {.destination = {pods.network(), pods.length}}));
  return {};
}

Result<void> set_up(const EgressLink& egress, std::chrono::milliseconds patience) {
  constexpr int kQueue = 1000;  // packets: more than a window at this MTU
  constexpr uint32_t kUpperHalf = 128U << 24U;
  const std::optional<Link> link = TRY(wait_link(kEgressDevice, patience));
  if (!link) return code_failure(ETIMEDOUT, fmt::format("wait for link '{}'", kEgressDevice));
  Socket socket = TRY(Socket::open());
  TRY(keep_inside(socket, egress));
  TRY(run_nft({"-f", "-"}, rules()));
  TRY(set_link_size(socket, link->index, kEgressMtu, kQueue));
  TRY(set_link_up(socket, link->index));
  const Ipv4Prefix prefix = TRY(Ipv4Prefix::parse(kEgressPrefix));
  TRY(add_address(socket, link->index, {TRY(Ipv4Address::parse(kEgressAddress)), prefix.length}));
  const Ipv4Address gateway = TRY(Ipv4Address::parse(kEgressGateway));
  for (const uint32_t half : {0U, kUpperHalf})
    TRY(set_route(socket, {.destination = {{half}, 1}, .link = link->index, .gateway = gateway}));
  return {};
}

}  // namespace

Result<void> set_up_egress(const EgressLink& egress, std::chrono::milliseconds patience) {
  TRY_AS("set up the way out of the sandbox", set_up(egress, patience));
  return {};
}

}  // namespace conode
