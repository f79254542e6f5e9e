// SPDX-License-Identifier: Apache-2.0
// The sandbox's side of the uplink `fallback`. The way out is a veth pair here, where pasta or
// slirp4netns would be: two sandboxes that reach each other by it.
#include <gtest/gtest.h>

#include "netplug/link/egress_link.h"
#include "netplug/link/link.h"
#include "netplug/link/nft.h"
#include "netplug/link/route.h"
#include "netplug/uplink/fallback_link.h"
#include "netplug/uplink/vxlan_link.h"
#include "netplug/vxlan/settings.h"
#include "tests/support/traffic.h"
#include "tests/support/vxlan_world.h"

namespace conode::test {
namespace {

class Fallback : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Result<void> root = become_root_of_hosts();
    ASSERT_TRUE(root) << root.error().message();
  }
  void SetUp() override {
    for (uint32_t rank = 0; rank < 2; ++rank) sandboxes_.push_back(Netns::create().value());
    ASSERT_TRUE(sandboxes_[0].run([&] { return join(); }));
    for (uint32_t rank = 0; rank < 2; ++rank) {
      const Result<void> made = sandboxes_[rank].run([&] { return set_up(rank); });
      ASSERT_TRUE(made) << made.error().message();
    }
  }

  static Ipv4Address host(uint32_t rank) { return {(198U << 24U) + (18U << 16U) + rank + 1}; }
  // As seen by `rank`: packets of the other one's are taken, and there is a way to it.
  void knows_peer(uint32_t rank, Ipv4Address at) {
    const Result<void> done = sandboxes_.at(rank).run([&]() -> Result<void> {
      TRY(add_fallback_peer(1 - rank, at, kFallbackPort));
      return links_.at(rank).add_peer(1 - rank);
    });
    ASSERT_TRUE(done) << done.error().message();
  }
  [[nodiscard]] bool reaches() {
    return ping(sandboxes_[0], node_address(VxlanSettings{}.nodes, 1)).has_value();
  }

  std::vector<Netns> sandboxes_;

 private:
  Result<void> join() {
    Socket socket = TRY(Socket::open());
    TRY(create_veth(
        socket, {.name = kEgressDevice, .peer_name = kEgressDevice, .peer_netns = &sandboxes_[1]}));
    return {};
  }
  Result<void> set_up(uint32_t rank) {
    constexpr int kMtu = 1450;
    const VxlanSettings defaults;
    Socket socket = TRY(Socket::open());
    const Link egress = TRY(find_link(socket, kEgressDevice)).value();
    TRY(set_link_up(socket, egress.index));
    TRY(add_address(socket, egress.index, {host(rank), 24}));
    TRY(make_fallback_link(rank, kMtu));
    links_.push_back(
        TRY(VxlanLink::set_up({.rank = rank, .nodes = defaults.nodes, .pods = defaults.pods})));
    return {};
  }

  std::vector<VxlanLink> links_;
};

TEST_F(Fallback, JoinsSandboxesThatKnowEachOther) {
  ASSERT_NO_FATAL_FAILURE(knows_peer(0, host(1)));
  ASSERT_NO_FATAL_FAILURE(knows_peer(1, host(0)));
  EXPECT_TRUE(reaches());
}

// Rank 1 still has the way back: only that the packets are dropped keeps them from being answered.
TEST_F(Fallback, TakesNothingFromAHostThatIsNotOfTheJob) {
  ASSERT_NO_FATAL_FAILURE(knows_peer(0, host(1)));
  ASSERT_NO_FATAL_FAILURE(knows_peer(1, host(0)));
  ASSERT_TRUE(reaches());
  ASSERT_TRUE(sandboxes_[1].run([] {
    return run_nft(
        {"delete", "element", "ip", "conode-fallback", "hosts", "{ " + host(0).text() + " }"});
  }));
  EXPECT_FALSE(reaches());
}

}  // namespace
}  // namespace conode::test
