// SPDX-License-Identifier: Apache-2.0
// One VXLAN a job: what its user gets, that up and down can be called again, and what is left.
#include <csignal>

#include "agent/base/file.h"
#include "netplug/link/link.h"
#include "netplug/link/nft.h"
#include "netplug/link/route.h"
#include "netplug/vxlan/job_dir.h"
#include "tests/support/vxlan_fixture.h"

namespace conode::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Vxlan : public VxlanFixture {};

// A pod's address on a node of its own, as far as the VXLAN is concerned.
void add_pod(const Netns& netns, const char* address) {
  Socket socket = Socket::open(netns).value();
  const Link loopback = find_link(socket, "lo").value().value();
  ASSERT_TRUE(set_link_up(socket, loopback.index));
  ASSERT_TRUE(add_address(socket, loopback.index, Ipv4Prefix::parse(address).value()));
}

TEST_F(Vxlan, JoinsTheUsersNamespacesOfThreeHosts) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(3));
  ASSERT_NO_FATAL_FAILURE(up(3));
  for (uint32_t rank = 0; rank < 3; ++rank) ASSERT_NO_FATAL_FAILURE(join(rank, 3));
  for (uint32_t from = 0; from < 3; ++from)
    for (uint32_t to = 0; to < 3; ++to)
      EXPECT_TRUE(from == to || reaches(from, to)) << from << " to " << to;
  const TcpListener listener = listen_in(user(2)).value();
  const Result<Ipv4Address> seen =
      exchange(listener, user(0), Ipv4Address::parse("10.88.0.3").value(), listener.port);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ(seen->text(), "10.88.0.1");
  down();
}

TEST_F(Vxlan, CarriesPodsAsWellAsNodes) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(2));
  ASSERT_NO_FATAL_FAILURE(up(2));
  for (uint32_t rank = 0; rank < 2; ++rank) ASSERT_NO_FATAL_FAILURE(join(rank, 2));
  add_pod(user(1), "10.244.1.7/32");
  EXPECT_TRUE(ping(user(0), Ipv4Address::parse("10.244.1.7").value()));
  EXPECT_FALSE(ping(user(0), Ipv4Address::parse("10.244.1.8").value()));
  down();
}

TEST_F(Vxlan, TellsTheUserWhatThereIs) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(2));
  ASSERT_NO_FATAL_FAILURE(up(2));
  const std::string text = run_as(kJobUser, [&]() -> Result<std::string> {
                             return to_text(TRY(ask_about_vxlan(host(1).socket(kJob))));
                           }).value();
  const VxlanEnd end = parse_vxlan_end(text).value();
  EXPECT_EQ(end.rank, 1U);
  EXPECT_EQ(end.mtu, 1450);
  EXPECT_EQ(end.vni, vni_of_job(kJob));
  EXPECT_EQ(end.ranks, (std::set<uint32_t>{0, 1}));
  down();
  const Result<std::string> nobody = run_as(kJobUser, [&]() -> Result<std::string> {
    return to_text(TRY(ask_about_vxlan(host(1).socket(kJob))));
  });
  EXPECT_FALSE(nobody);
}

TEST_F(Vxlan, IsTheSameAfterASecondUp) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(2));
  ASSERT_NO_FATAL_FAILURE(up(2));
  const pid_t before = keeper(0);
  for (uint32_t rank = 0; rank < 2; ++rank) ASSERT_NO_FATAL_FAILURE(join(rank, 2));
  ASSERT_TRUE(host(0).netns().run([] { return run_nft({"flush", "ruleset"}); }));
  ASSERT_NO_FATAL_FAILURE(up(2));
  EXPECT_EQ(keeper(0), before);
  EXPECT_THAT(host(0).rules().value(), HasSubstr("conode_vxlan_"));
  EXPECT_TRUE(reaches(0, 1));
  down();
  down();
  EXPECT_EQ(keeper(0), 0);
}

TEST_F(Vxlan, WithOtherSettingsIsRefusedWhileItLives) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(2));
  ASSERT_NO_FATAL_FAILURE(up(2));
  const HookRun other = host(0).hook(world_->up(kJob, 0, 1)).value();
  EXPECT_FALSE(other.ok());
  EXPECT_THAT(other.output, HasSubstr("other settings"));
  EXPECT_THAT(other.output, HasSubstr("down --job 4711"));
  down();
  EXPECT_TRUE(host(0).hook(world_->up(kJob, 0, 1)).value().ok());
  down();
}

TEST_F(Vxlan, OfTwoJobsWithOneNumberIsRefused) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  ASSERT_NO_FATAL_FAILURE(up(1));
  std::vector<std::string> same = world_->up("4712", 0, 1);
  same.insert(same.end(), {"--vni", std::to_string(vni_of_job(kJob))});
  const HookRun run = host(0).hook(same).value();
  EXPECT_FALSE(run.ok());
  EXPECT_THAT(run.output, HasSubstr("is job '4711''s"));
  ASSERT_NO_FATAL_FAILURE(up(1, "4712"));
  down("4712");
  down();
}

TEST_F(Vxlan, OfAKeeperThatWasKilledIsMadeAgain) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(2));
  ASSERT_NO_FATAL_FAILURE(up(2));
  for (uint32_t rank = 0; rank < 2; ++rank) ASSERT_NO_FATAL_FAILURE(join(rank, 2));
  const pid_t first = keeper(0);
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  ASSERT_TRUE(becomes_true([&] { return keeper(0) == 0; }));
  ASSERT_NO_FATAL_FAILURE(up(2));
  EXPECT_NE(keeper(0), 0);
  ASSERT_NO_FATAL_FAILURE(join(0, 2));
  EXPECT_TRUE(reaches(0, 1));
  ASSERT_EQ(::kill(keeper(0), SIGKILL), 0);
  down();
}

TEST_F(Vxlan, GoesToTheLatestNamespace) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(2));
  ASSERT_NO_FATAL_FAILURE(up(2));
  for (uint32_t rank = 0; rank < 2; ++rank) ASSERT_NO_FATAL_FAILURE(join(rank, 2));
  const UserNetns former = std::move(users_.at(0));
  users_.erase(0);
  ASSERT_NO_FATAL_FAILURE(join(0, 2));
  EXPECT_TRUE(becomes_true([&] { return reaches(0, 1); }));
  Socket socket = Socket::open(former.netns()).value();
  EXPECT_FALSE(find_link(socket, kVxlanLink).value().has_value());
  down();
}

TEST_F(Vxlan, IsNotTrackedByTheHost) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(2));
  ASSERT_NO_FATAL_FAILURE(up(2));
  const std::string counting = R"(table ip test {
  counter tracked {}
  counter untracked {}
  chain input { type filter hook input priority filter;
    udp dport 947 ct state untracked counter name untracked
    udp dport 947 ct state != untracked counter name tracked
  }
})";
  ASSERT_TRUE(host(1).netns().run([&] { return run_nft({"-f", "-"}, counting); }));
  for (uint32_t rank = 0; rank < 2; ++rank) ASSERT_NO_FATAL_FAILURE(join(rank, 2));
  EXPECT_TRUE(reaches(0, 1));
  const std::string counted = host(1)
                                  .netns()
                                  .run([] {
                                    return run_nft({"list", "counters"});
                                  })
                                  .value();
  EXPECT_THAT(counted, HasSubstr("counter tracked {\n\t\tpackets 0 "));
  EXPECT_THAT(counted, Not(HasSubstr("counter untracked {\n\t\tpackets 0 ")));
  ASSERT_TRUE(host(1).netns().run([] { return run_nft({"delete", "table", "ip", "test"}); }));
  down();
}

TEST_F(Vxlan, TakesALinkAwayFromNobodyButItself) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  Socket socket = Socket::open(host(0).netns()).value();
  const size_t before = list_links(socket).value().size();
  ASSERT_NO_FATAL_FAILURE(up(1));
  down();
  EXPECT_EQ(list_links(socket).value().size(), before);
}

}  // namespace
}  // namespace conode::test
