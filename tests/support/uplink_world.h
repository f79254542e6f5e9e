// SPDX-License-Identifier: Apache-2.0
// Nodes for tests and benchmarks of uplinks, in the private namespaces of cni_world.h: each has a
// network namespace as its host and one as its sandbox. Hosts are joined by veth pairs with an MTU
// of 1500: two directly, or any number through the calling namespace, which routes.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "netplug/link/netns.h"
#include "netplug/uplink/relay.h"
#include "netplug/uplink/tun.h"

namespace conode::test {

inline constexpr const char* kJobSecret = "0123456789abcdef0123456789abcdef";

// What a test may want to differ from the defaults.
struct NodeOptions {
  size_t queues = 1;
  CarrierKind carrier = CarrierKind::tcp;
  RelayEncryption encryption = RelayEncryption::none;
  std::string secret = kJobSecret;
  uint16_t port = 0;
  int mtu = kRelayMtu;
  size_t datagram = 0;
  std::chrono::microseconds spin{0};
};

class UplinkNode {
 public:
  // Makes the TUN in the sandbox and a relay on the host. stop_relay() first to do it again.
  [[nodiscard]] Result<void> start_relay(const AddressPlan& plan, const NodeOptions& options);
  void stop_relay() { relay_.reset(); }

  [[nodiscard]] const Netns& host() const { return *host_; }
  [[nodiscard]] const Netns& sandbox() const { return *sandbox_; }
  // A pod of this node, 10.244.RANK.2, attached as conode-cni's routed mode does.
  [[nodiscard]] Result<void> make_pod();
  [[nodiscard]] const Netns& pod() const { return *pod_; }
  [[nodiscard]] std::string pod_address() const;
  [[nodiscard]] Relay& relay() { return *relay_; }
  [[nodiscard]] Rank rank() const { return rank_; }
  [[nodiscard]] const std::string& host_address() const { return host_address_; }  // "172.30.1.2"
  [[nodiscard]] std::string node_address() const;  // in the overlay: "10.88.0.1"
  [[nodiscard]] std::string endpoint() const;      // of its relay

 private:
  friend class UplinkWorld;
  Rank rank_ = 0;
  std::optional<Netns> host_;
  std::optional<Netns> sandbox_;
  std::optional<Netns> pod_;
  std::string host_address_;
  std::unique_ptr<Relay> relay_;
};

enum class Wire { direct, routed };

class UplinkWorld {
 public:
  [[nodiscard]] static Result<UplinkWorld> create(size_t nodes, Wire wire, uint32_t ranks = 64);

  // Starts all relays and tells each about the others.
  [[nodiscard]] Result<void> start_relays(const NodeOptions& options);
  [[nodiscard]] Result<void> introduce(UplinkNode& to, const UplinkNode& peer,
                                       const std::string& endpoint = {});
  // Until there are sessions both ways between all; fails after ten seconds.
  [[nodiscard]] Result<void> wait_connected();

  [[nodiscard]] UplinkNode& node(size_t index) { return nodes_.at(index); }
  [[nodiscard]] std::deque<UplinkNode>& nodes() { return nodes_; }
  [[nodiscard]] const AddressPlan& plan() const { return plan_; }

 private:
  [[nodiscard]] Result<void> join_directly();
  [[nodiscard]] Result<void> join_by_router();
  std::deque<UplinkNode> nodes_;
  AddressPlan plan_;
};

// Polls `holds` until it is true; false after ten seconds.
[[nodiscard]] bool eventually(const std::function<bool()>& holds);

}  // namespace conode::test
