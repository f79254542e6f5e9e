// SPDX-License-Identifier: Apache-2.0
// Theory of operation. A container that connects to a Service's address sends to the bridge, where
// netfilter rewrites the destination to a container of the same node. That one answers straight
// across the bridge: without br_netfilter the answer is switched below IP, so netfilter never gives
// it the Service's address back, and the first container refuses it. With
// IFLA_BR_NF_CALL_IPTABLES what is switched passes netfilter as well.
#include "netplug/cni/node_bridge.h"

#include <fmt/format.h>

#include <algorithm>

#include "netplug/cni/dual_stack.h"
#include "netplug/cni/naming.h"
#include "netplug/link/bridge.h"
#include "netplug/link/route.h"

namespace conode::cni {
namespace {

CniResult<Bridge> find_or_create(Socket& node, const NetworkConfig& config) {
  const BridgeSettings settings{
      .name = config.bridge, .mac = bridge_mac(config.name, config.bridge), .mtu = config.mtu};
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::optional<Bridge> bridge =
        TRY(with_code(ErrorCode::invalid_config, find_bridge(node, config.bridge)));
    if (bridge) return *bridge;
    TRY(create_bridge(node, settings));  // false: another ADD was faster
  }
  return fail(ErrorCode::try_again_later, fmt::format("bridge '{}' vanished", config.bridge));
}

}  // namespace

CniResult<void> require_bridge_netfilter() {
  if (has_bridge_netfilter()) return {};
  return fail(ErrorCode::not_available,
              "mode 'bridge' needs the kernel module br_netfilter, which is not loaded",
              "an administrator must run, as root and outside of containers: modprobe br_netfilter "
              "(for every boot: echo br_netfilter > /etc/modules-load.d/br_netfilter.conf); or use "
              "mode 'routed', which needs no module");
}

CniResult<int> require_bridge(Socket& node, const NetworkConfig& config) {
  TRY(require_bridge_netfilter());
  const Bridge bridge = TRY(find_or_create(node, config));
  const int index = bridge.link.index;
  if (!bridge.filters_ipv4 || !bridge.filters_ipv6) TRY(set_bridge_filtering(node, index, true));
  if (!bridge.link.up) TRY(set_link_up(node, index));
  TRY(add_address(node, index, {config.gateway, config.range.length}, PrefixRoute::none));
  // Ours takes the place of an `unreachable` that the sandbox has for addresses of no container.
  TRY(set_route(node, {.destination = {config.range.network(), config.range.length},
                       .link = index,
                       .source = config.node_address.value_or(config.gateway)}));
  TRY(set_up_bridge6(node, index, config));
  return index;
}

Result<void> look_at_bridge(Socket& node, const NetworkConfig& config, int port,
                            std::vector<std::string>& problems) {
  const auto note = [&](std::string_view text) {
    problems.push_back(fmt::format("bridge '{}' {}", config.bridge, text));
  };
  const std::optional<Bridge> bridge = TRY(find_bridge(node, config.bridge));
  if (!bridge) {
    note("is missing");
    return {};
  }
  if (!bridge->link.up) note("is down");
  if (!bridge->filters_ipv4) note("does not pass its traffic to netfilter (nf_call_iptables is 0)");
  const std::vector<Ipv4Prefix> addresses = TRY(list_addresses(node, bridge->link.index));
  const Ipv4Prefix gateway{config.gateway, config.range.length};
  if (std::find(addresses.begin(), addresses.end(), gateway) == addresses.end())
    note(fmt::format("lacks address '{}'", gateway.text()));
  if (port == 0) return {};
  const std::vector<Link> links = TRY(list_links(node));
  const auto link =
      std::find_if(links.begin(), links.end(), [&](const Link& l) { return l.index == port; });
  if (link == links.end() || link->master != bridge->link.index) {
    note("does not have the container's link as a port");
    return {};
  }
  const PortSettings settings = TRY(bridge_port(node, port));
  if (!settings.hairpin)
    note(fmt::format("port '{}' does not send back (hairpin is off)", link->name));
  if (settings.isolated) note(fmt::format("port '{}' is isolated", link->name));
  return {};
}

}  // namespace conode::cni
