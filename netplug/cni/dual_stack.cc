// SPDX-License-Identifier: Apache-2.0
#include "netplug/cni/dual_stack.h"

#include <fmt/format.h>

#include "netplug/link/ipv6.h"
#include "netplug/link/sysctl.h"

namespace conode::cni {
namespace {

// fe80::1: of no interface, as 169.254.1.1.
constexpr Ipv6Address kRoutedGateway{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

Ipv6Address at_place_of(const NetworkConfig& config, Ipv4Address address) {
  return config.range6->at(address.value - config.range.network().value);
}

bool routed(const NetworkConfig& config) { return config.mode == Mode::routed; }

// Where the kernel has no IPv6 or it is switched off: said once, with what can be done.
template <typename T>
Result<void> explained(const Result<T>& done) {
  if (done) return {};
  return tl::make_unexpected(
      Error(done.error())
          .with_remedy("IPv6 may be switched off (net.ipv6.conf.*.disable_ipv6): leave out "
                       "ipam.range6, or switch "
                       "it on"));
}

}  // namespace

std::optional<DualStack> dual_stack_of(const NetworkConfig& config, Ipv4Address address) {
  if (!config.range6) return std::nullopt;
  const Ipv6Address own = at_place_of(config, address);
  if (routed(config)) return DualStack{{own, 128}, kRoutedGateway};
  return DualStack{{own, config.range6->length}, at_place_of(config, config.gateway)};
}

Result<void> set_up_container6(Socket& container, int link, const NetworkConfig& config,
                               Ipv4Address address, const MacPair& macs) {
  const auto stack = dual_stack_of(config, address);
  if (!stack) return {};
  TRY(explained(add_address(container, link, stack->address)));
  if (routed(config)) TRY(set_neighbour(container, link, stack->gateway, macs.host));
  return set_route(
      container,
      {.destination = {{}, 0}, .link = link, .gateway = stack->gateway, .onlink = routed(config)});
}

Result<void> set_up_node6(Socket& node, int link, const NetworkConfig& config, Ipv4Address address,
                          const MacPair& macs) {
  const auto stack = dual_stack_of(config, address);
  if (!stack) return {};
  TRY(explained(set_network_sysctl("ipv6/conf/all/forwarding", "1")));
  if (!routed(config)) return {};
  TRY(set_neighbour(node, link, stack->address.address, macs.container));
  return set_route(node, {.destination = stack->address, .link = link});
}

Result<void> set_up_bridge6(Socket& node, int bridge, const NetworkConfig& config) {
  if (!config.range6) return {};
  return explained(
      add_address(node, bridge, {at_place_of(config, config.gateway), config.range6->length}));
}

Result<void> free_address6(Socket& node, int link, const NetworkConfig& config,
                           Ipv4Address address) {
  const auto stack = dual_stack_of(config, address);
  if (!stack || !routed(config)) return {};
  TRY(delete_route(node, {.destination = stack->address, .link = link}));
  return {};
}

Result<void> look_at_container6(Socket& container, int link, const NetworkConfig& config,
                                Ipv4Address address, std::vector<std::string>& problems) {
  const auto stack = dual_stack_of(config, address);
  if (!stack) return {};
  if (!TRY(has_address(container, link, stack->address)))
    problems.push_back(fmt::format("the container lacks address '{}'", stack->address.text()));
  if (!TRY(has_route(container, {{}, 0}, link)))
    problems.emplace_back("the container's default route of IPv6 is missing");
  return {};
}

Result<void> look_at_node6(Socket& node, int link, const NetworkConfig& config, Ipv4Address address,
                           std::vector<std::string>& problems) {
  const auto stack = dual_stack_of(config, address);
  if (!stack || !routed(config)) return {};
  if (!TRY(has_route(node, stack->address, link)))
    problems.push_back(fmt::format("the node's route to '{}' is missing", stack->address.text()));
  return {};
}

}  // namespace conode::cni
