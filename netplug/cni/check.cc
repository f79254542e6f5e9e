// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "netplug/cni/address_pool.h"
#include "netplug/cni/dual_stack.h"
#include "netplug/cni/host_ports.h"
#include "netplug/cni/naming.h"
#include "netplug/cni/node_bridge.h"
#include "netplug/cni/verbs.h"
#include "netplug/link/link.h"
#include "netplug/link/netns.h"
#include "netplug/link/route.h"
#include "netplug/link/socket.h"
#include "netplug/link/sysctl.h"

namespace conode::cni {
namespace {

using nlohmann::json;
using Problems = std::vector<std::string>;

Result<void> look_at_forwarding(Problems& problems) {
  if (TRY(network_sysctl("ipv4/ip_forward")) != "1")
    problems.emplace_back("the node does not forward (net.ipv4.ip_forward is not 1)");
  return {};
}

// The link's index, 0 where there is none.
Result<int> look_at_link(Socket& socket, const std::string& name, const char* where,
                         Problems& problems) {
  const std::optional<Link> link = TRY(find_link(socket, name));
  if (!link) problems.push_back(fmt::format("link '{}' is missing {}", name, where));
  if (link && !link->up) problems.push_back(fmt::format("link '{}' is down {}", name, where));
  return link ? link->index : 0;
}

Result<void> look_at_node(const NetworkConfig& config, const std::string& host_link,
                          Ipv4Address address, Problems& problems) {
  Socket node = TRY(Socket::open());
  const int link = TRY(look_at_link(node, host_link, "on the node", problems));
  if (config.mode == Mode::bridge) return look_at_bridge(node, config, link, problems);
  if (link == 0) return {};
  TRY(look_at_node6(node, link, config, address, problems));
  const Ipv4Prefix wanted{address, 32};
  const std::vector<Route> routes = TRY(list_routes(node));
  if (std::none_of(routes.begin(), routes.end(),
                   [&](const Route& r) { return r.destination == wanted && r.link == link; }))
    problems.push_back(
        fmt::format("the node's route to '{}' through '{}' is missing", wanted.text(), host_link));
  return {};
}

// A later plugin may have added to routes and changed hardware addresses: neither is compared.
Result<void> look_at_container(const Request& request, const NetworkConfig& config,
                               const Ipv4Prefix& address, Problems& problems) {
  const Netns container = TRY(Netns::open(request.netns));
  Socket socket = TRY(Socket::open(container));
  const std::string& name = request.attachment.interface;
  const int link = TRY(look_at_link(socket, name, "in the container", problems));
  if (link == 0) return {};
  TRY(look_at_container6(socket, link, config, address.address, problems));
  const std::vector<Ipv4Prefix> addresses = TRY(list_addresses(socket, link));
  if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())
    problems.push_back(fmt::format("'{}' lacks address '{}'", name, address.text()));
  const std::vector<Route> routes = TRY(list_routes(socket));
  if (std::none_of(routes.begin(), routes.end(), [](const Route& r) {
        return r.destination == Ipv4Prefix{{}, 0} && r.link != 0;
      }))
    problems.emplace_back("the container's default route is missing");
  return {};
}

bool lists_address(const json& result, const Ipv4Prefix& address) {
  const auto ips = result.find("ips");
  if (ips == result.end() || !ips->is_array()) return false;
  return std::any_of(ips->begin(), ips->end(), [&](const json& ip) {
    return ip.is_object() && ip.contains("address") && ip["address"] == address.text();
  });
}

}  // namespace

CniResult<void> check(const Request& request, const NetworkConfig& config) {
  const std::vector<Reservation> all =
      TRY(with_code(ErrorCode::io_failure, pool_of(config).list()));
  const auto mine = std::find_if(
      all.begin(), all.end(), [&](const Reservation& r) { return r.holder == request.attachment; });
  if (mine == all.end())
    return fail(ErrorCode::unknown_container, fmt::format("'{}' is not attached to network '{}'",
                                                          request.attachment.text(), config.name));
  Problems problems;
  const Ipv4Prefix address = container_prefix(config, mine->address);
  if (!lists_address(config.prev_result, address))
    problems.push_back(fmt::format("prevResult lacks the reserved address '{}'", address.text()));
  TRY(look_at_forwarding(problems));
  const std::string host_link = host_link_name(config.name, request.attachment);
  TRY(look_at_node(config, host_link, mine->address, problems));
  TRY(look_at_container(request, config, address, problems));
  TRY(look_at_ports(config, request.attachment, mine->address, problems));
  if (problems.empty()) return {};
  return fail(ErrorCode::attachment_damaged,
              fmt::format("'{}' is not as ADD left it", request.attachment.text()),
              joined(problems));
}

CniResult<void> status(const NetworkConfig& config) {
  if (!config.unsupported.empty())
    return fail(ErrorCode::not_available, "unsupported field in the network configuration",
                joined(config.unsupported));
  const AddressPool pool = pool_of(config);
  if (TRY(with_code(ErrorCode::not_available, pool.count_free())) == 0)
    return fail(ErrorCode::not_available,
                fmt::format("no free address in range '{}'", config.range.text()));
  Socket node = TRY(with_code(ErrorCode::not_available, Socket::open()));
  Problems problems;
  TRY(look_at_forwarding(problems));
  if (config.mode == Mode::bridge) {
    TRY(require_bridge_netfilter());
    TRY(with_code(ErrorCode::not_available, look_at_bridge(node, config, 0, problems)));
  }
  const std::vector<Reservation> attached = TRY(pool.list());
  if (!problems.empty() && !attached.empty())  // the first ADD sets it up
    return fail(ErrorCode::limited_connectivity, joined(problems));
  return {};
}

}  // namespace conode::cni
