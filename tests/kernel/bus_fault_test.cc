// SPDX-License-Identifier: Apache-2.0
// The bus when agents die, hang or leave: as kill -9 (connections break) and as SIGSTOP (silence).
#include <gmock/gmock.h>

#include "tests/kernel/bus_fixture.h"

namespace conode::bus {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// A tree of 15 agents with arity 2: 1 has the children 3 and 4, these have 7, 8 and 9, 10.
class BusFaultTest : public BusTest {
 protected:
  void boot_15() { boot({.size = 15, .arity = 2, .timing = quick()}); }
  // Nobody but `gone` misses a message to each and one to all.
  void expect_all_reached(const RankSet& gone) {
    ASSERT_TRUE(root().broadcast(text("to all")));
    for (Rank rank = 1; rank < 15; ++rank)
      if (!gone.contains(rank)) {
        const Result<void> sent = root().send_to(rank, text("to you"));
        ASSERT_TRUE(sent) << sent.error().message();
      }
    for (Rank rank = 1; rank < 15; ++rank)
      if (!gone.contains(rank)) {
        EXPECT_TRUE(wait_for([&] { return count<Received>(rank) >= 2; })) << rank;
        EXPECT_THAT(texts(rank), UnorderedElementsAre("to all", "to you")) << rank;
      }
  }
  RankSet lost() {
    RankSet ranks;
    for (const Lost& event : all<Lost>(kRoot)) ranks.add(event.rank);
    return ranks;
  }
  static RankSet only(Rank rank) {
    RankSet set;
    set.add(rank);
    return set;
  }
};

TEST_F(BusFaultTest, ALostLeafIsReported) {
  boot_15();
  world_->kill(14);
  ASSERT_TRUE(wait_for([&] { return count<Lost>(kRoot) == 1; }));
  EXPECT_EQ(all<Lost>(kRoot)[0].rank, 14U);
  EXPECT_EQ(all<Lost>(kRoot)[0].reason, "connection lost");
  EXPECT_THAT(root().send_to(14, text("x")).error().message(), HasSubstr("lost"));
  expect_all_reached(only(14));
}

TEST_F(BusFaultTest, ChildrenOfALostAgentMoveToItsParent) {
  boot_15();
  for (const Rank child : {7U, 8U}) {  // what rank 3 says of its own parent comes before this
    ASSERT_TRUE(root().send_to(child, text("through rank 3")));
    ASSERT_TRUE(wait_for([&] { return count<Received>(child) == 1; }));
    events_[child].clear();
  }
  world_->kill(3);
  for (const Rank orphan : {7U, 8U}) {
    ASSERT_TRUE(wait_for([&] { return count<Attached>(orphan) == 1; }));
    EXPECT_EQ(all<Attached>(orphan)[0].parent, 1U);
  }
  expect_all_reached(only(3));
  ASSERT_TRUE(wait_for([&] { return !lost().empty(); }));
  EXPECT_EQ(lost(), only(3));
}

TEST_F(BusFaultTest, AMessageOnItsWayThroughALostAgentArrives) {
  boot_15();
  world_->kill(1);  // rank 0 has not noticed: what it sends now goes to the dead
  expect_all_reached(only(1));
  ASSERT_TRUE(wait_for([&] { return !lost().empty(); }));
  EXPECT_EQ(lost(), only(1));
}

TEST_F(BusFaultTest, TwoLevelsMayDieAtOnce) {
  boot_15();
  world_->kill(1);
  world_->kill(3);
  for (const Rank orphan : {4U, 7U, 8U}) {
    ASSERT_TRUE(wait_for([&] { return count<Attached>(orphan) == 2; })) << orphan;
    EXPECT_EQ(all<Attached>(orphan)[1].parent, kRoot) << orphan;
  }
  RankSet both = only(1);
  both.add(3);
  expect_all_reached(both);
  ASSERT_TRUE(wait_for([&] { return lost().count() == 2; }));
  EXPECT_EQ(lost(), both);
}

TEST_F(BusFaultTest, AGatherGoesOnWithoutTheLost) {
  on_event_ = [&](Rank rank, const Event& event) {
    const auto* received = std::get_if<Received>(&event);
    if (received != nullptr) world_->bus(rank).answer(received->gather, Answer());
  };
  boot_15();
  world_->kill(2);
  std::optional<GatherResult> result;
  ASSERT_TRUE(root().gather(text("?"), kPatience, [&](const GatherResult& r) { result = r; }));
  ASSERT_TRUE(wait_for([&] { return result.has_value(); }));
  EXPECT_EQ(result->answers.size(), 13U);
  EXPECT_EQ(result->missing.text(), "2");
}

TEST_F(BusFaultTest, ReadinessSurvivesAChangeOfParent) {
  boot_15();
  for (Rank rank = 0; rank < 15; ++rank) world_->bus(rank).report_ready(true);
  const auto ready = [&] {
    const auto all_events = all<ReadinessChanged>(kRoot);
    return all_events.empty() ? std::string() : all_events.back().ready.text();
  };
  ASSERT_TRUE(wait_for([&] { return ready() == "0-14"; }));
  world_->kill(2);
  EXPECT_TRUE(wait_for([&] { return ready() == "0-1,3-14"; })) << ready();
}

TEST_F(BusFaultTest, WhoSaysGoodbyeHasLeftAndIsNotLost) {
  boot_15();
  world_->bus(4).stop("drained");
  ASSERT_TRUE(wait_for([&] { return count<Left>(kRoot) == 1; }));
  EXPECT_EQ(all<Left>(kRoot)[0].rank, 4U);
  EXPECT_EQ(all<Left>(kRoot)[0].reason, "drained");
  expect_all_reached(only(4));  // its children moved
  EXPECT_EQ(count<Lost>(kRoot), 0U);
}

TEST_F(BusFaultTest, TheEndOfRankZeroIsTheEndOfAll) {
  boot_15();
  world_->kill(kRoot);
  for (Rank rank = 1; rank < 15; ++rank) {
    ASSERT_TRUE(wait_for([&] { return count<RootLost>(rank) == 1; })) << rank;
    EXPECT_THAT(all<RootLost>(rank)[0].reason, HasSubstr("rank 0"));
  }
}

TEST_F(BusFaultTest, RankZerosGoodbyeIsHeardByAll) {
  boot_15();
  root().stop("conode down");
  for (Rank rank = 1; rank < 15; ++rank) {
    ASSERT_TRUE(wait_for([&] { return count<RootLost>(rank) == 1; })) << rank;
    EXPECT_EQ(all<RootLost>(rank)[0].reason, "conode down");
  }
}

TEST_F(BusFaultTest, WithoutRankZeroAnAgentGivesUpInTime) {
  Timing timing = quick();
  timing.attach_within = std::chrono::milliseconds(300);
  make({.size = 8, .arity = 2, .timing = timing});
  ASSERT_TRUE(world_->start(kRoot));
  const std::string endpoint = root().endpoint();
  world_->kill(kRoot);
  for (const Rank rank : {1U, 7U}) {
    ASSERT_TRUE(world_->start(rank));
    ASSERT_TRUE(wait_for([&] { return count<RootLost>(rank) == 1; })) << rank;
    EXPECT_THAT(all<RootLost>(rank)[0].reason,
                HasSubstr("rank 0 at '" + endpoint + "' cannot be reached"));
  }
}

// The agents are on loops of their own, so that one can hang: its connections stand, libzmq
// answers, but the agent does not.
TEST_F(BusFaultTest, AnAgentThatHangsIsLostByItsSilence) {
  boost::asio::io_context stuck(1);
  make({.size = 4, .arity = 1, .timing = quick()});
  ASSERT_TRUE(world_->start(kRoot));
  auto bus = Bus::start(stuck.get_executor(), world_->shared_context(), world_->options_of(1),
                        [](const Event&) {});
  ASSERT_TRUE(bus) << bus.error().message();
  for (const Rank rank : {2U, 3U}) ASSERT_TRUE(world_->start(rank));
  ASSERT_TRUE(wait_for([&] {
    stuck.poll();  // it still lives
    return count<Joined>(kRoot) == 3 && count<Attached>(3) == 1;
  }));
  ASSERT_TRUE(wait_for([&] { return count<Attached>(2) == 2 && count<Lost>(kRoot) == 1; }));
  EXPECT_EQ(all<Attached>(2)[1].parent, kRoot);
  EXPECT_EQ(all<Lost>(kRoot)[0].rank, 1U);
  EXPECT_THAT(all<Lost>(kRoot)[0].reason, HasSubstr("silent for 1500 ms"));
  ASSERT_TRUE(root().send_to(3, text("past the hanging one")));
  EXPECT_TRUE(wait_for([&] { return count<Received>(3) == 1; }));
  // It wakes up, finds itself outside, and comes back.
  ASSERT_TRUE(wait_for([&] {
    stuck.poll();
    return count<Joined>(kRoot) == 4;
  }));
}

}  // namespace
}  // namespace conode::bus
