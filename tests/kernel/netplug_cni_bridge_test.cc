// SPDX-License-Identifier: Apache-2.0
// conode-cni in mode `bridge`: what it makes, and that a Service of the same node answers because
// of it.
#include <fmt/format.h>
#include <sys/mount.h>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "netplug/link/bridge.h"
#include "netplug/link/route.h"
#include "netplug/link/sandbox_network.h"
#include "netplug/link/sysctl.h"
#include "tests/support/cni_fixture.h"
#include "tests/support/traffic.h"

namespace conode::test {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kBridge = "cnbr0";

class CniBridge : public CniFixture {
 protected:
  void SetUp() override {
    CniFixture::SetUp();
    if (IsSkipped()) return;
    if (!has_bridge_netfilter())
      GTEST_SKIP() << "the kernel lacks br_netfilter: modprobe br_netfilter (as root)";
  }
  void TearDown() override {
    if (has_bridge_netfilter() && !IsSkipped()) {
      Socket node = Socket::open().value();
      EXPECT_TRUE(delete_link(node, kBridge));
      restore_pod_route(node);
    }
    CniFixture::TearDown();
  }
  // What the sandbox has before the bridge takes its place.
  static void restore_pod_route(Socket& node) {
    EXPECT_TRUE(set_route(node, {.destination = Ipv4Prefix::parse(kRange).value()}));
  }
  static json bridged(json more = json::object()) {
    more["mode"] = "bridge";
    return more;
  }
  static Bridge the_bridge() {
    Socket node = Socket::open().value();
    return find_bridge(node, kBridge).value().value();
  }
};

TEST_F(CniBridge, AddMakesWhatItReports) {
  Container& c = container();
  const CniAnswer answer = call("ADD", c, bridged({{"mtu", 1400}}));
  ASSERT_TRUE(answer.ok()) << answer.output;
  const json result = answer.json();
  ASSERT_THAT(result["interfaces"], SizeIs(3));
  EXPECT_EQ(result["interfaces"][0]["name"], kBridge);
  EXPECT_EQ(result["ips"][0]["address"], "10.244.0.2/24") << "the first one is the gateway's";
  EXPECT_EQ(result["ips"][0]["gateway"], "10.244.0.1");
  EXPECT_EQ(result["ips"][0]["interface"], 2);
  const Bridge bridge = the_bridge();
  EXPECT_TRUE(bridge.link.up && bridge.filters_ipv4 && bridge.filters_ipv6);
  EXPECT_EQ(result["interfaces"][0]["mac"], bridge.link.mac.text());
  EXPECT_EQ(bridge.link.mtu, 1400);
  Socket node = Socket::open().value();
  EXPECT_THAT(list_addresses(node, bridge.link.index).value(),
              ElementsAre(Ipv4Prefix::parse("10.244.0.1/24").value()));
  const Link host = find_link(node, result["interfaces"][1]["name"]).value().value();
  EXPECT_EQ(host.master, bridge.link.index);
  const PortSettings port = bridge_port(node, host.index).value();
  EXPECT_TRUE(port.hairpin && !port.isolated);
  Socket inside = Socket::open(c.netns()).value();
  const Link eth0 = find_link(inside, "eth0").value().value();
  EXPECT_EQ(result["interfaces"][2]["mac"], eth0.mac.text());
  EXPECT_EQ(list_addresses(inside, eth0.index).value().front().text(), "10.244.0.2/24");
  EXPECT_TRUE(call("DEL", c, bridged()).ok());
}

TEST_F(CniBridge, PassesBetweenContainersAndTheNode) {
  Container& a = container();
  Container& b = container();
  const Ipv4Address address_a = add(a, bridged());
  const Ipv4Address address_b = add(b, bridged());
  const TcpListener listener = listen_in(b.netns()).value();
  EXPECT_EQ(exchange(listener, a.netns(), address_b, listener.port).value(), address_a);
  const Netns node = Netns::current().value();
  EXPECT_TRUE(ping(node, address_a));
  EXPECT_TRUE(ping(a.netns(), Ipv4Address::parse(kNodeAddress).value()));
  EXPECT_TRUE(call("DEL", a, bridged()).ok());
  EXPECT_TRUE(call("DEL", b, bridged()).ok());
}

// A Service as kube-proxy's nftables mode makes one: destination rewritten, sources kept.
class CniBridgeService : public CniBridge {
 protected:
  void SetUp() override {
    CniBridge::SetUp();
    if (IsSkipped()) return;
    if (find_program("nft").empty()) GTEST_SKIP() << "nft is not installed";
    client_ = &container();
    server_ = &container();
    client_address_ = add(*client_, bridged());
    server_address_ = add(*server_, bridged());
    listener_.emplace(listen_in(server_->netns()).value());
    // New network namespaces have it at 1, for all bridges; ours must not need that.
    ASSERT_TRUE(set_network_sysctl("bridge/bridge-nf-call-iptables", "0"));
    const std::string rules = dir() + "/rules.nft";
    ASSERT_TRUE(
        replace_file(rules, fmt::format(R"(
table ip service_test {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr {0} tcp dport 80 dnat to {1}:{2}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ct original ip daddr {0} ip saddr {1} ip daddr {1} masquerade
  }}
}})",
                                        service_.text(), server_address_.text(), listener_->port)));
    const auto made = command_output({"nft", "-f", rules});
    ASSERT_TRUE(made) << made.error().message();
  }
  void TearDown() override {
    if (listener_) {
      EXPECT_TRUE(command_output({"nft", "delete table ip service_test"}));
      EXPECT_TRUE(set_network_sysctl("bridge/bridge-nf-call-iptables", "1"));
      EXPECT_TRUE(call("DEL", *client_, bridged()).ok());
      EXPECT_TRUE(call("DEL", *server_, bridged()).ok());
      listener_.reset();
    }
    CniBridge::TearDown();
  }

  Ipv4Address service_ = Ipv4Address::parse("10.96.0.80").value();
  Container* client_ = nullptr;
  Container* server_ = nullptr;
  Ipv4Address client_address_;
  Ipv4Address server_address_;
  std::optional<TcpListener> listener_;
};

TEST_F(CniBridgeService, OfTheSameNodeAnswers) {
  const auto seen = exchange(*listener_, client_->netns(), service_, 80);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ(*seen, client_address_);
}

TEST_F(CniBridgeService, AnswersItsOwnContainer) {
  const auto seen = exchange(*listener_, server_->netns(), service_, 80);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ(seen->text(), "10.244.0.1") << "masqueraded";
}

TEST_F(CniBridgeService, DoesNotAnswerWhereTheBridgeDoesNotFilter) {
  Socket node = Socket::open().value();
  ASSERT_TRUE(set_bridge_filtering(node, the_bridge().link.index, false));
  EXPECT_FALSE(exchange(*listener_, client_->netns(), service_, 80));
  EXPECT_TRUE(exchange(*listener_, client_->netns(), server_address_, listener_->port))
      << "without the Service it does";
}

TEST_F(CniBridge, AddRepairsTheBridge) {
  Container& a = container();
  add(a, bridged());
  Socket node = Socket::open().value();
  const Bridge before = the_bridge();
  ASSERT_TRUE(set_bridge_filtering(node, before.link.index, false));
  Container& b = container();
  add(b, bridged());
  EXPECT_TRUE(the_bridge().filters_ipv4);
  EXPECT_EQ(the_bridge().link.mac, before.link.mac);
  EXPECT_TRUE(call("DEL", a, bridged()).ok());
  EXPECT_TRUE(call("DEL", b, bridged()).ok());
}

TEST_F(CniBridge, AnAddressKeepsItsHardwareAddress) {
  const json one = bridged({{"ipam", {{"range", "10.244.0.0/30"}}}});
  Container& a = container();
  const json first = call("ADD", a, one).json();
  ASSERT_TRUE(call("DEL", a, one).ok());
  Container& b = container();
  const json second = call("ADD", b, one).json();
  EXPECT_EQ(first["ips"][0]["address"], second["ips"][0]["address"]);
  EXPECT_EQ(first["interfaces"][2]["mac"], second["interfaces"][2]["mac"]);
  EXPECT_NE(first["interfaces"][1]["mac"], second["interfaces"][1]["mac"]);
  EXPECT_EQ(call("ADD", container(), one).code(), 11) << "two addresses, one is the gateway's";
  EXPECT_TRUE(call("DEL", b, one).ok());
}

TEST_F(CniBridge, CheckNamesAllThatIsMissing) {
  Container& c = container();
  const json result = call("ADD", c, bridged()).json();
  const json check = bridged({{"prevResult", result}});
  EXPECT_TRUE(call("CHECK", c, check).ok()) << call("CHECK", c, check).output;
  EXPECT_TRUE(call("STATUS", bridged()).ok());
  Socket node = Socket::open().value();
  const int host = find_link(node, result["interfaces"][1]["name"]).value()->index;
  ASSERT_TRUE(set_bridge_filtering(node, the_bridge().link.index, false));
  ASSERT_TRUE(set_bridge_port(node, host, {.hairpin = false, .isolated = true}));
  CniAnswer answer = call("CHECK", c, check);
  EXPECT_EQ(answer.code(), 100);
  for (const char* part : {"nf_call_iptables", "hairpin", "isolated"})
    EXPECT_THAT(answer.output, HasSubstr(part));
  EXPECT_EQ(call("STATUS", bridged()).code(), 51);
  ASSERT_TRUE(set_link_master(node, host, 0));
  EXPECT_THAT(call("CHECK", c, check).output, HasSubstr("as a port"));
  ASSERT_TRUE(delete_link(node, kBridge).value());
  EXPECT_THAT(call("CHECK", c, check).output, HasSubstr("bridge 'cnbr0' is missing"));
  EXPECT_TRUE(call("DEL", c, bridged()).ok());
}

TEST_F(CniBridge, NothingPassesAfterDel) {
  Container& c = container();
  const Ipv4Address address = add(c, bridged());
  const Netns node = Netns::current().value();
  ASSERT_TRUE(ping(node, address));
  ASSERT_TRUE(call("DEL", c, bridged()).ok());
  EXPECT_FALSE(ping(node, address)) << "though the container's namespace is still there";
}

TEST_F(CniBridge, CollectsPortsAndKeepsTheBridge) {
  add(container(), bridged());
  Container& kept = container();
  add(kept, bridged());
  json valid = keeping({&kept});
  EXPECT_TRUE(call("GC", bridged(valid)).ok());
  EXPECT_THAT(pod_links(), SizeIs(1));
  EXPECT_THAT(reserved(), SizeIs(1));
  EXPECT_TRUE(the_bridge().link.up);
  EXPECT_TRUE(call("DEL", kept, bridged()).ok());
}

TEST_F(CniBridge, RefusesALinkOfAnotherKind) {
  const CniAnswer answer = call("ADD", container(), bridged({{"bridge", kNodeLink}}));
  EXPECT_EQ(answer.code(), 7) << answer.output;
  EXPECT_THAT(answer.output, HasSubstr("of kind 'veth'"));
  EXPECT_THAT(reserved(), IsEmpty());
}

// The two places where the kernel shows br_netfilter are hidden.
TEST_F(CniBridge, SaysWhatToDoWithoutTheModule) {
  const std::vector<const char*> places{"/proc/sys/net/bridge", "/sys/module"};
  for (const char* place : places)
    ASSERT_EQ(::mount("tmpfs", place, "tmpfs", 0, nullptr), 0) << place << errno;
  for (const char* verb : {"ADD", "STATUS"}) {
    const CniAnswer answer = call(verb, container(), bridged());
    EXPECT_EQ(answer.code(), 50) << answer.output;
    EXPECT_THAT(answer.output, HasSubstr("modprobe br_netfilter"));
  }
  EXPECT_TRUE(call("STATUS").ok()) << "mode routed needs it not";
  for (const char* place : places) EXPECT_EQ(::umount2(place, MNT_DETACH), 0);
}

}  // namespace
}  // namespace conode::test
