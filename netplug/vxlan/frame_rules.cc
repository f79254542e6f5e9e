// SPDX-License-Identifier: Apache-2.0
#include "netplug/vxlan/frame_rules.h"

#include <fmt/format.h>

#include "netplug/link/nft.h"

namespace conode {

std::string frame_rules_script(const VxlanSettings& settings, const std::string& port) {
  constexpr const char* kTable = R"(table bridge conode {{
  chain from_user {{
    ether saddr {mac} ether type ip ip saddr {{ {node}, {pods} }} accept
    drop
  }}
  chain arriving {{
    type filter hook prerouting priority dstnat; policy accept;
    iifname "{port}" goto from_user
  }}
  chain here {{
    type filter hook input priority filter; policy drop;
  }}
}}
)";
  using fmt::arg;
  return fmt::format(kTable, arg("mac", vxlan_mac(settings.rank).text()), arg("port", port),
                     arg("node", node_address(settings.nodes, settings.rank).text()),
                     arg("pods", pods_of_node(settings.pods, settings.rank).text()));
}

Result<void> add_frame_rules(const VxlanSettings& settings, const std::string& port) {
  TRY_AS("add the rules of the user's end",
         run_nft({"-f", "-"}, frame_rules_script(settings, port)));
  return {};
}

}  // namespace conode
