// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "netplug/cni/address_pool.h"
#include "netplug/cni/dual_stack.h"
#include "netplug/cni/host_ports.h"
#include "netplug/cni/naming.h"
#include "netplug/cni/node_bridge.h"
#include "netplug/cni/verbs.h"
#include "netplug/link/bridge.h"
#include "netplug/link/link.h"
#include "netplug/link/netns.h"
#include "netplug/link/route.h"
#include "netplug/link/socket.h"
#include "netplug/link/sysctl.h"

namespace conode::cni {
namespace {

using nlohmann::json;

// What one ADD works on.
struct Plan {
  const Attachment& attachment;
  const NetworkConfig& config;
  const AddressPool& pool;
  const Netns& container;
  Ipv4Address address;
  std::string host_link;
  MacPair macs;
  [[nodiscard]] bool bridged() const { return config.mode == Mode::bridge; }
};

CniResult<Netns> open_container(const std::string& path) {
  Netns container = TRY(with_code(ErrorCode::invalid_environment, Netns::open(path)));
  const Netns own = TRY(Netns::current());
  if (TRY(container.is(own)))
    return fail(ErrorCode::invalid_environment,
                fmt::format("CNI_NETNS is '{}': that is the plugin's own network namespace", path));
  return container;
}

CniResult<Ipv4Address> reserve(const AddressPool& pool, const Request& request,
                               const NetworkConfig& config) {
  const std::optional<Ipv4Address> address =
      TRY(with_code(ErrorCode::io_failure, pool.reserve(request.attachment)));
  if (address) return *address;
  return fail(ErrorCode::try_again_later,
              fmt::format("no free address in range '{}'", config.range.text()),
              fmt::format("all {} are reserved in '{}': delete containers, run GC, or give the "
                          "node a larger range",
                          pool.capacity(), config.data_dir));
}

// The kernel has a link of one of the two names. Ours can only be what a DEL is still deleting, or
// what a killed ADD left; anything else is the caller's mistake.
CniResult<void> clear_leftover(Socket& node, const Plan& plan) {
  if (!TRY(find_link(node, plan.host_link)))
    return fail(ErrorCode::invalid_environment,
                fmt::format("CNI_IFNAME is '{}': the container has an interface of that name",
                            plan.attachment.interface));
  for (const Reservation& other : TRY(plan.pool.list())) {
    if (other.address == plan.address ||
        host_link_name(plan.config.name, other.holder) != plan.host_link)
      continue;
    return fail(ErrorCode::invalid_environment,
                fmt::format("'{}' is attached to network '{}' already with address '{}'",
                            other.holder.text(), plan.config.name, other.address.text()),
                "call DEL first");
  }
  TRY(delete_link(node, plan.host_link));
  return {};
}

CniResult<void> create_pair(Socket& node, const Plan& plan, int bridge) {
  const VethPair pair{.name = plan.host_link,
                      .peer_name = plan.attachment.interface,
                      .mac = plan.macs.host,
                      .peer_mac = plan.macs.container,
                      .mtu = plan.config.mtu,
                      .peer_netns = &plan.container,
                      .master = bridge};
  if (TRY(create_veth(node, pair))) return {};
  TRY(clear_leftover(node, plan));
  if (TRY(create_veth(node, pair))) return {};
  return fail(ErrorCode::invalid_environment,
              fmt::format("CNI_IFNAME is '{}': the container has an interface of that name",
                          plan.attachment.interface));
}

CniResult<Link> require_link(Socket& socket, const std::string& name) {
  const std::optional<Link> link = TRY(find_link(socket, name));
  if (link) return *link;
  return fail(ErrorCode::try_again_later, fmt::format("link '{}' vanished", name),
              "the container's network namespace may be going away");
}

CniResult<void> set_up_node_side(Socket& node, const Plan& plan) {
  const Link link = TRY(require_link(node, plan.host_link));
  TRY(set_up_node6(node, link.index, plan.config, plan.address, plan.macs));
  if (plan.bridged()) {
    TRY(set_bridge_port(node, link.index, {.hairpin = true}));
    return {};
  }
  TRY(set_route(
      node,
      {.destination = {plan.address, 32}, .link = link.index, .source = plan.config.node_address}));
  return {};
}

CniResult<Link> set_up_container_side(const Plan& plan) {
  Socket socket = TRY(Socket::open(plan.container));
  Link link = TRY(require_link(socket, plan.attachment.interface));
  const Ipv4Address gateway = plan.config.gateway;
  TRY(set_link_up(socket, link.index));
  TRY(add_address(socket, link.index, container_prefix(plan.config, plan.address)));
  TRY(set_up_container6(socket, link.index, plan.config, plan.address, plan.macs));
  if (!plan.bridged()) TRY(set_neighbour(socket, link.index, gateway, plan.macs.host));
  if (TRY(add_route(socket, {.destination = {{}, 0},
                             .link = link.index,
                             .gateway = gateway,
                             .onlink = !plan.bridged()})))
    return link;
  return fail(
      ErrorCode::invalid_environment,
      fmt::format("the container '{}' has a default route already", plan.attachment.container));
}

CniResult<Link> connect(Socket& node, const Plan& plan) {
  TRY(set_network_sysctl("ipv4/ip_forward", "1"));
  const int bridge = plan.bridged() ? TRY(require_bridge(node, plan.config)) : 0;
  TRY(create_pair(node, plan, bridge));
  CniResult<Link> link = set_up_container_side(plan);
  CniResult<void> rest;
  if (link) rest = set_up_node_side(node, plan);
  if (link && rest) rest = open_ports(plan.config, plan.attachment, plan.address);
  if (link && rest) return link;
  (void)delete_link(node, plan.host_link);  // the failure to report is the first one
  if (!link) return link;
  return tl::make_unexpected(rest.error());
}

json array_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : json::array();
}

// A plugin before us in the chain has its result passed on, ours added to it.
json result_of(const Request& request, const Plan& plan, const Link& link) {
  const NetworkConfig& config = plan.config;
  json result = config.prev_result.is_object() ? config.prev_result : json::object();
  json interfaces = array_of(result, "interfaces");
  if (plan.bridged())
    interfaces.push_back(
        {{"name", config.bridge}, {"mac", bridge_mac(config.name, config.bridge).text()}});
  json host = {{"name", plan.host_link}, {"mac", plan.macs.host.text()}};
  json container = {
      {"name", link.name}, {"mac", plan.macs.container.text()}, {"sandbox", request.netns}};
  if (config.cni_version == kNewestVersion) host["mtu"] = container["mtu"] = link.mtu;
  interfaces.push_back(std::move(host));
  interfaces.push_back(std::move(container));
  json ips = array_of(result, "ips");
  ips.push_back({{"address", container_prefix(config, plan.address).text()},
                 {"gateway", config.gateway.text()},
                 {"interface", interfaces.size() - 1}});
  json routes = array_of(result, "routes");
  routes.push_back({{"dst", "0.0.0.0/0"}, {"gw", config.gateway.text()}});
  if (const auto stack = dual_stack_of(config, plan.address)) {
    ips.push_back({{"address", stack->address.text()},
                   {"gateway", stack->gateway.text()},
                   {"interface", interfaces.size() - 1}});
    routes.push_back({{"dst", "::/0"}, {"gw", stack->gateway.text()}});
  }
  result["cniVersion"] = config.cni_version;
  result["interfaces"] = std::move(interfaces);
  result["ips"] = std::move(ips);
  result["routes"] = std::move(routes);
  if (config.dns.is_object()) result["dns"] = config.dns;
  return result;
}

}  // namespace

AddressPool pool_of(const NetworkConfig& config) {
  return {config.data_dir + "/" + config.name, config.range, config.gateway};
}

Ipv4Prefix container_prefix(const NetworkConfig& config, Ipv4Address address) {
  return {address, config.mode == Mode::bridge ? config.range.length : 32};
}

namespace {

MacPair macs_of(const Request& request, const NetworkConfig& config, Ipv4Address address) {
  MacPair macs = mac_addresses(config.name, request.attachment);
  if (config.mode == Mode::bridge) macs.container = bridged_mac(config.name, address);
  return macs;
}

}  // namespace

CniResult<json> add(const Request& request, const NetworkConfig& config) {
  if (!config.unsupported.empty())
    return fail(ErrorCode::unsupported_field, "unsupported field in the network configuration",
                joined(config.unsupported));
  const Netns container = TRY(open_container(request.netns));
  const AddressPool pool = pool_of(config);
  Socket node = TRY(Socket::open());
  const Ipv4Address address = TRY(reserve(pool, request, config));
  const Plan plan{request.attachment,
                  config,
                  pool,
                  container,
                  address,
                  host_link_name(config.name, request.attachment),
                  macs_of(request, config, address)};
  const CniResult<Link> link = connect(node, plan);
  if (link) return result_of(request, plan, *link);
  (void)pool.release({address, request.attachment});
  return tl::make_unexpected(link.error());
}

}  // namespace conode::cni
