// SPDX-License-Identifier: Apache-2.0
// What passes between containers, the node and Services, and what the sandbox's network is like.
#include <fmt/format.h>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "netplug/link/route.h"
#include "netplug/link/sandbox_network.h"
#include "netplug/link/sysctl.h"
#include "tests/support/cni_fixture.h"
#include "tests/support/traffic.h"

namespace conode::test {
namespace {

using testing::HasSubstr;

class NetplugTraffic : public CniFixture {
 protected:
  void SetUp() override {
    CniFixture::SetUp();
    if (IsSkipped()) return;
    a_ = &container();
    b_ = &container();
    address_a_ = add(*a_);
    address_b_ = add(*b_);
  }
  void TearDown() override {
    if (a_ != nullptr) {
      EXPECT_TRUE(call("DEL", *a_).ok());
      EXPECT_TRUE(call("DEL", *b_).ok());
    }
    CniFixture::TearDown();
  }

  // Through the nat table that kube-proxy's nftables mode comes down to for one Service.
  [[nodiscard]] Result<void> make_service(uint16_t port) const;

  Netns node_ = Netns::current().value();
  Ipv4Address node_address_ = Ipv4Address::parse(kNodeAddress).value();
  Ipv4Address service_ = Ipv4Address::parse("10.96.0.80").value();
  Container* a_ = nullptr;
  Container* b_ = nullptr;
  Ipv4Address address_a_;
  Ipv4Address address_b_;
};

Result<void> NetplugTraffic::make_service(uint16_t port) const {
  const std::string rules = dir() + "/rules.nft";
  const std::string target = fmt::format("ip daddr {} tcp dport 80 dnat to {}:{}", service_.text(),
                                         address_b_.text(), port);
  TRY(replace_file(rules, fmt::format(R"(
table ip service_test {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    {0}
  }}
  chain output {{
    type nat hook output priority -100;
    {0}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ct original ip daddr {1} ip saddr {2} ip daddr {2} masquerade
    ct original ip daddr {1} ip saddr != {3} masquerade
  }}
}})",
                                      target, service_.text(), address_b_.text(), kRange)));
  TRY(command_output({"nft", "-f", rules}));
  return {};
}

TEST_F(NetplugTraffic, PassesBetweenContainersOfANode) {
  EXPECT_TRUE(ping(a_->netns(), address_b_));
  const TcpListener listener = listen_in(b_->netns()).value();
  const auto seen = exchange(listener, a_->netns(), address_b_, listener.port);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ(*seen, address_a_);
}

TEST_F(NetplugTraffic, PassesBetweenNodeAndContainer) {
  EXPECT_TRUE(ping(node_, address_a_));
  EXPECT_TRUE(ping(a_->netns(), node_address_));
  const TcpListener in_container = listen_in(a_->netns()).value();
  EXPECT_EQ(exchange(in_container, node_, address_a_, in_container.port).value(), node_address_);
  const TcpListener on_node = listen_in(node_).value();
  EXPECT_EQ(exchange(on_node, a_->netns(), node_address_, on_node.port).value(), address_a_);
}

TEST_F(NetplugTraffic, TheNodesSourceAddressCanBeChosen) {
  const Ipv4Address other = Ipv4Address::parse("10.88.7.7").value();
  Socket socket = Socket::open().value();
  const int link = find_link(socket, kNodeLink).value()->index;
  ASSERT_TRUE(add_address(socket, link, {other, 32}).value());
  Container& c = container();
  const Ipv4Address address = add(c, {{"node_address", other.text()}});
  const TcpListener listener = listen_in(c.netns()).value();
  EXPECT_EQ(exchange(listener, node_, address, listener.port).value(), other);
  EXPECT_TRUE(call("DEL", c).ok());
}

TEST_F(NetplugTraffic, PassesThroughAService) {
  if (find_program("nft").empty()) GTEST_SKIP() << "nft is not installed";
  const TcpListener listener = listen_in(b_->netns()).value();
  const Result<void> made = make_service(listener.port);
  ASSERT_TRUE(made) << made.error().message();
  const auto from_container = exchange(listener, a_->netns(), service_, 80);
  ASSERT_TRUE(from_container) << from_container.error().message();
  EXPECT_EQ(*from_container, address_a_);
  const auto from_node = exchange(listener, node_, service_, 80);
  ASSERT_TRUE(from_node) << from_node.error().message();
  EXPECT_EQ(*from_node, node_address_);
  const auto from_itself = exchange(listener, b_->netns(), service_, 80);
  ASSERT_TRUE(from_itself) << from_itself.error().message();
  EXPECT_EQ(*from_itself, node_address_);
  EXPECT_TRUE(command_output({"nft", "delete table ip service_test"}));
}

TEST_F(NetplugTraffic, AForgedSourceIsDropped) {
  Socket inside = Socket::open(a_->netns()).value();
  const int link = find_link(inside, "eth0").value()->index;
  ASSERT_TRUE(set_route(inside, {.destination = {address_b_, 32},
                                 .link = link,
                                 .gateway = Ipv4Address::parse("169.254.1.1").value(),
                                 .onlink = true}));
  EXPECT_TRUE(ping(a_->netns(), address_b_));
  const Ipv4Address forged = Ipv4Address::parse("10.244.0.77").value();
  ASSERT_TRUE(add_address(inside, link, {forged, 32}).value());
  ASSERT_TRUE(set_route(inside, {.destination = {address_b_, 32},
                                 .link = link,
                                 .gateway = Ipv4Address::parse("169.254.1.1").value(),
                                 .onlink = true,
                                 .source = forged}));
  EXPECT_FALSE(ping(a_->netns(), address_b_));
}

// Not after the three seconds of unanswered ARP. TCP takes an ICMP error for good only outside of
// connect(2), so after its first repetition: one second.
TEST_F(NetplugTraffic, AnAddressNobodyHasFailsSoon) {
  for (const char* nobody : {"10.244.0.200", "192.0.2.1"}) {
    const auto start = std::chrono::steady_clock::now();
    const TcpListener listener = listen_in(node_).value();
    const auto seen =
        exchange(listener, a_->netns(), Ipv4Address::parse(nobody).value(), listener.port);
    ASSERT_FALSE(seen);
    EXPECT_TRUE(seen.error().is(std::errc::host_unreachable)) << seen.error().message();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2)) << nobody;
  }
}

class SandboxNetwork : public CniFixture {};

TEST_F(SandboxNetwork, IsSetUpOnceAndAgain) {
  const Netns fresh = Netns::create().value();
  const NodeNetwork network{
      .node_address = "10.90.0.3", .prefix_length = 16, .pod_prefix = "10.1.3.0/24", .mtu = 9000};
  for (int round = 0; round < 2; ++round) {
    const Result<void> done = fresh.run([&] { return setup_sandbox_network(network); });
    ASSERT_TRUE(done) << done.error().message();
  }
  Socket socket = Socket::open(fresh).value();
  const Link link = find_link(socket, kNodeLink).value().value();
  EXPECT_EQ(link.mtu, 9000);
  EXPECT_TRUE(link.up && find_link(socket, "lo").value()->up);
  ASSERT_EQ(list_addresses(socket, link.index).value().size(), 1U);
  EXPECT_EQ(list_addresses(socket, link.index).value()[0].text(), "10.90.0.3/16");
  const std::vector<Route> routes = list_routes(socket).value();
  EXPECT_EQ(std::count_if(routes.begin(), routes.end(),
                          [](const Route& r) {
                            return r.destination == Ipv4Prefix{{}, 0};
                          }),
            1);
  EXPECT_EQ(fresh.run([] { return network_sysctl("ipv4/ip_forward"); }).value(), "1");
}

TEST_F(SandboxNetwork, SaysWhichAddressIsWrong) {
  const Result<void> done = setup_sandbox_network({.node_address = "10.90", .pod_prefix = "x"});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("'10.90'"));
}

TEST_F(SandboxNetwork, KernelRefusalsCarryItsWords) {
  Socket socket = Socket::open().value();
  const Ipv4Address far = Ipv4Address::parse("203.0.113.9").value();
  const Result<bool> done =
      add_route(socket, {.destination = {far, 32}, .link = 1, .gateway = far});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("Nexthop"));
}

}  // namespace
}  // namespace conode::test
