// SPDX-License-Identifier: Apache-2.0
#include "tests/support/uplink_world.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "netplug/link/link.h"
#include "netplug/link/route.h"
#include "netplug/link/sandbox_network.h"
#include "netplug/link/sysctl.h"

namespace conode::test {
namespace {

Result<Link> link_named(Socket& socket, const std::string& name) {
  const std::optional<Link> link = TRY(find_link(socket, name));
  if (!link) return failure("there is no link " + name);
  return *link;
}

Result<void> set_address(const Netns& netns, const std::string& name, const std::string& address) {
  Socket socket = TRY(Socket::open(netns));
  const Link link = TRY(link_named(socket, name));
  TRY(set_link_up(socket, link.index));
  TRY(add_address(socket, link.index, TRY(Ipv4Prefix::parse(address))));
  return {};
}

}  // namespace

bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::string UplinkNode::node_address() const { return fmt::format("10.88.0.{}", rank_ + 1); }

std::string UplinkNode::pod_address() const { return fmt::format("10.244.{}.2", rank_); }

Result<void> UplinkNode::make_pod() {
  pod_ = TRY(Netns::create());
  Socket outside = TRY(Socket::open(*sandbox_));
  const MacAddress near = MacAddress::from_seed(1);
  const MacAddress far = MacAddress::from_seed(2);
  TRY(create_veth(outside, {.name = "pod",
                            .peer_name = "eth0",
                            .mac = near,
                            .peer_mac = far,
                            .mtu = kRelayMtu,
                            .peer_netns = &*pod_}));
  TRY(set_address(*pod_, "eth0", pod_address() + "/32"));
  Socket inside = TRY(Socket::open(*pod_));
  const int eth0 = TRY(link_named(inside, "eth0")).index;
  const Ipv4Address gateway = TRY(Ipv4Address::parse("169.254.1.1"));
  TRY(set_neighbour(inside, eth0, gateway, near));
  TRY(set_route(inside,
                {.destination = {{}, 0}, .link = eth0, .gateway = gateway, .onlink = true}));
  const int pod = TRY(link_named(outside, "pod")).index;
  const Ipv4Address address = TRY(Ipv4Address::parse(pod_address()));
  TRY(set_route(outside, {.destination = {address, 32}, .link = pod}));
  TRY(set_neighbour(outside, pod, address, far));
  return {};
}

std::string UplinkNode::endpoint() const {
  return fmt::format("{}:{}", host_address_, relay_->port());
}

Result<void> UplinkNode::start_relay(const AddressPlan& plan, const NodeOptions& options) {
  TunQueues tun = TRY(sandbox_->run([&] {
    return open_tun({.queues = options.queues,
                     .mtu = options.mtu,
                     .node_address = node_address(),
                     .routes = {"10.88.0.0/16", "10.244.0.0/16"}});
  }));
  RelayOptions wanted{.tun = std::move(tun.fds),
                      .rank = rank_,
                      .plan = plan,
                      .secret = options.secret,
                      .listen = fmt::format("0.0.0.0:{}", options.port),
                      .carrier = options.carrier,
                      .encryption = options.encryption,
                      .spin = options.spin,
                      .datagram = options.datagram};
  relay_ = TRY(host_->run([&] { return Relay::start(std::move(wanted)); }));
  return {};
}

Result<UplinkWorld> UplinkWorld::create(size_t nodes, Wire wire, uint32_t ranks) {
  UplinkWorld made;
  made.plan_ = TRY(AddressPlan::create({{"10.88.0.0/16", 32, 1}, {"10.244.0.0/16", 24, 0}}, ranks));
  for (Rank rank = 0; rank < nodes; ++rank) {
    UplinkNode& node = made.nodes_.emplace_back();
    node.rank_ = rank;
    node.host_ = TRY(Netns::create());
    node.sandbox_ = TRY(Netns::create());
    TRY(set_address(*node.host_, "lo", "127.0.0.1/8"));
    TRY(node.sandbox_->run([&] {
      return setup_sandbox_network(
          {.node_address = node.node_address(), .pod_prefix = fmt::format("10.244.{}.0/24", rank)});
    }));
  }
  TRY(wire == Wire::direct ? made.join_directly() : made.join_by_router());
  return made;
}

Result<void> UplinkWorld::join_directly() {
  Socket socket = TRY(Socket::open(node(0).host()));
  TRY(create_veth(socket,
                  {.name = "v0", .peer_name = "v0", .mtu = 1500, .peer_netns = &node(1).host()}));
  for (UplinkNode& node : nodes_) {
    node.host_address_ = fmt::format("172.30.0.{}", node.rank_ + 1);
    TRY(set_address(node.host(), "v0", node.host_address_ + "/24"));
  }
  return {};
}

Result<void> UplinkWorld::join_by_router() {
  const Netns router = TRY(Netns::current());
  Socket socket = TRY(Socket::open());
  TRY(set_network_sysctl("ipv4/ip_forward", "1"));
  for (UplinkNode& node : nodes_) {
    const std::string name = fmt::format("w{}", node.rank_);
    TRY(delete_link(socket, name));  // of an earlier world: the kernel takes its time
    TRY(create_veth(socket,
                    {.name = name, .peer_name = "v0", .mtu = 1500, .peer_netns = &node.host()}));
    node.host_address_ = fmt::format("172.30.{}.2", node.rank_ + 1);
    const std::string gateway = fmt::format("172.30.{}.1", node.rank_ + 1);
    TRY(set_address(router, name, gateway + "/24"));
    TRY(set_address(node.host(), "v0", node.host_address_ + "/24"));
    Socket inside = TRY(Socket::open(node.host()));
    TRY(set_route(inside, {.destination = {{}, 0},
                           .link = TRY(link_named(inside, "v0")).index,
                           .gateway = TRY(Ipv4Address::parse(gateway))}));
  }
  return {};
}

Result<void> UplinkWorld::introduce(UplinkNode& to, const UplinkNode& peer,
                                    const std::string& endpoint) {
  return to.relay().set_peer({peer.rank(), endpoint.empty() ? peer.endpoint() : endpoint});
}

Result<void> UplinkWorld::start_relays(const NodeOptions& options) {
  for (UplinkNode& node : nodes_) TRY(node.start_relay(plan_, options));
  for (UplinkNode& node : nodes_)
    for (UplinkNode& peer : nodes_)
      if (&node != &peer) TRY(introduce(node, peer));
  return wait_connected();
}

Result<void> UplinkWorld::wait_connected() {
  const bool done = eventually([this] {
    for (UplinkNode& node : nodes_) {
      const RelayStatus status = node.relay().status();
      size_t connected = 0;
      for (const RelayPeerStatus& peer : status.peers) connected += peer.sessions > 0 ? 1 : 0;
      if (connected + 1 < nodes_.size()) return false;
    }
    return true;
  });
  if (!done) return failure("the relays did not find each other");
  return {};
}

}  // namespace conode::test
