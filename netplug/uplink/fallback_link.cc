// SPDX-License-Identifier: Apache-2.0
#include "netplug/uplink/fallback_link.h"

#include <fmt/format.h>

#include "netplug/link/egress_link.h"
#include "netplug/link/link.h"
#include "netplug/link/nft.h"
#include "netplug/link/vxlan.h"
#include "netplug/vxlan/settings.h"

namespace conode {
namespace {

constexpr uint32_t kVni = 1;  // the namespace's only one

// Not tracked, since what comes in by the way out is dropped where it is a new connection.
std::string rules() {
  return fmt::format(R"(add table ip conode-fallback
delete table ip conode-fallback
table ip conode-fallback {{
  set hosts {{
    type ipv4_addr
  }}
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{device}" udp dport {port} ip saddr != @hosts drop
    iifname "{device}" udp dport {port} notrack
  }}
}}
)",
                     fmt::arg("device", kEgressDevice), fmt::arg("port", kFallbackPort));
}

}  // namespace

Result<void> make_fallback_link(uint32_t rank, int mtu) {
  Socket socket = TRY(Socket::open());
  TRY(run_nft({"-f", "-"}, rules()));
  const bool made = TRY(create_vxlan(socket, {.name = kVxlanLink,
                                              .vni = kVni,
                                              .local = {},
                                              .mac = vxlan_mac(rank),
                                              .port = kFallbackPort,
                                              .mtu = mtu}));
  if (!made) return code_failure(EEXIST, fmt::format("make link '{}'", kVxlanLink));
  return {};
}

Result<void> add_fallback_peer(uint32_t rank, Ipv4Address host, uint16_t port) {
  Socket socket = TRY(Socket::open());
  const int index = TRY(link_index(socket, kVxlanLink));
  TRY(run_nft({"-f", "-"},
              fmt::format("add element ip conode-fallback hosts {{ {} }}\n", host.text())));
  return add_vxlan_peer(socket, index, vxlan_mac(rank), host, port);
}

}  // namespace conode
