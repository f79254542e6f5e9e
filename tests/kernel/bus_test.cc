// SPDX-License-Identifier: Apache-2.0
// The bus in peace: agents find their places, and what is sent arrives, over loopback TCP with
// CURVE.
#include <gmock/gmock.h>

#include "agent/bus/codec.h"
#include "tests/kernel/bus_fixture.h"

namespace conode::bus {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(BusTest, OneAgentIsAJob) {
  boot({.size = 1});
  ASSERT_TRUE(root().broadcast(text("nobody hears")));
  bool done = false;
  ASSERT_TRUE(root().gather(text("?"), kPatience, [&](const GatherResult& result) {
    done = result.answers.empty() && result.missing.empty();
  }));
  EXPECT_TRUE(wait_for([&] { return done; }));
}

TEST_F(BusTest, EveryoneAttachesToItsParentAndSaysHello) {
  boot({.size = 15, .arity = 2});
  for (Rank rank = 1; rank < 15; ++rank) {
    ASSERT_TRUE(wait_for([&] { return count<Attached>(rank) == 1; })) << rank;
    EXPECT_EQ(all<Attached>(rank)[0].parent, (rank - 1) / 2) << rank;
  }
  std::map<Rank, std::string> names;
  for (const Joined& joined : all<Joined>(kRoot)) names[joined.rank] = joined.hello.host_name();
  EXPECT_EQ(names.size(), 14U);
  EXPECT_EQ(names[14], "node14");
  EXPECT_EQ(all<Joined>(kRoot)[0].hello.topology().size(), 400U);
  EXPECT_EQ(root().joined().text(), "0-14");
  EXPECT_TRUE(root().awaited().empty());
}

TEST_F(BusTest, ADirectedMessageReachesItsRankOnly) {
  boot({.size = 15, .arity = 2});
  Message message;
  JoinMaterial::File& file = *message.mutable_join_material()->add_files();
  file.set_path("pki/kubelet.crt");
  file.set_content(std::string(30000, 'c'));
  ASSERT_TRUE(root().send_to(13, message));
  ASSERT_TRUE(wait_for([&] { return count<Received>(13) == 1; }));
  const Received received = all<Received>(13)[0];
  EXPECT_EQ(received.from, kRoot);
  EXPECT_EQ(received.message.join_material().files(0).content().size(), 30000U);
  for (const Rank other : {1U, 2U, 6U, 14U}) EXPECT_EQ(count<Received>(other), 0U) << other;
}

TEST_F(BusTest, DirectedMessagesComeInOrder) {
  boot({.size = 8, .arity = 2});
  std::vector<std::string> sent;
  for (int i = 0; i < 3000; ++i) {  // more than a replay window
    sent.push_back(std::to_string(i));
    ASSERT_TRUE(root().send_to(7, text(sent.back())));
    // All agents share this loop: while it does not run, they are silent.
    if (sent.size() % 500 == 0) {
      ASSERT_TRUE(wait_for([&] { return count<Received>(7) == sent.size(); }));
    }
  }
  EXPECT_EQ(texts(7), sent);
  EXPECT_EQ(world_->bus(7).counters().replayed, 0U);
}

TEST_F(BusTest, ABroadcastReachesAll) {
  boot({.size = 40, .arity = 3});
  ASSERT_TRUE(root().broadcast(text("resize")));
  ASSERT_TRUE(root().broadcast(text("down")));
  for (Rank rank = 1; rank < 40; ++rank) {
    ASSERT_TRUE(wait_for([&] { return count<Received>(rank) == 2; })) << rank;
    EXPECT_THAT(texts(rank), ElementsAre("resize", "down"));
  }
  EXPECT_EQ(count<Received>(kRoot), 0U);
}

TEST_F(BusTest, AGatherBringsEveryAnswer) {
  on_event_ = [&](Rank rank, const Event& event) {
    const auto* received = std::get_if<Received>(&event);
    if (received == nullptr || received->gather == 0) return;
    Answer answer;
    answer.set_code(static_cast<int32_t>(rank));
    world_->bus(rank).answer(received->gather, answer);
  };
  boot({.size = 20, .arity = 3});
  std::optional<GatherResult> result;
  ASSERT_TRUE(root().gather(text("cores?"), kPatience, [&](const GatherResult& r) { result = r; }));
  ASSERT_TRUE(wait_for([&] { return result.has_value(); }));
  EXPECT_EQ(result->answers.size(), 19U);
  EXPECT_EQ(result->answers.at(17).code(), 17);
  EXPECT_TRUE(result->missing.empty());
}

TEST_F(BusTest, AGatherNamesWhoDoesNotAnswer) {
  on_event_ = [&](Rank rank, const Event& event) {
    const auto* received = std::get_if<Received>(&event);
    if (received != nullptr && rank != 3) world_->bus(rank).answer(received->gather, Answer());
  };
  boot({.size = 6, .arity = 2});
  std::optional<GatherResult> result;
  ASSERT_TRUE(root().gather(text("?"), std::chrono::milliseconds(300),
                            [&](const GatherResult& r) { result = r; }));
  ASSERT_TRUE(wait_for([&] { return result.has_value(); }));
  EXPECT_EQ(result->answers.size(), 4U);
  EXPECT_EQ(result->missing.text(), "3");
}

TEST_F(BusTest, ReadinessIsUnitedOnTheWayUp) {
  boot({.size = 15, .arity = 2});
  for (Rank rank = 0; rank < 15; ++rank)
    if (rank != 9) world_->bus(rank).report_ready(true);
  world_->bus(9).report_trouble("containerd does not start");
  ReadinessChanged latest;
  ASSERT_TRUE(wait_for([&] {
    if (count<ReadinessChanged>(kRoot) > 0) latest = all<ReadinessChanged>(kRoot).back();
    return latest.ready.count() == 14 && !latest.troubled.empty();
  }));
  EXPECT_EQ(latest.ready.text(), "0-8,10-14");
  EXPECT_EQ(latest.troubled.at(9), "containerd does not start");
  world_->bus(9).report_trouble("");
  world_->bus(9).report_ready(true);
  EXPECT_TRUE(wait_for([&] {
    latest = all<ReadinessChanged>(kRoot).back();
    return latest.ready.count() == 15 && latest.troubled.empty();
  }));
}

TEST_F(BusTest, AnyoneCanTellRankZero) {
  boot({.size = 8, .arity = 2});
  world_->bus(7).send_to_root(text("here is 7"));
  ASSERT_TRUE(wait_for([&] { return count<Received>(kRoot) == 1; }));
  EXPECT_EQ(all<Received>(kRoot)[0].from, 7U);
  EXPECT_THAT(texts(kRoot), ElementsAre("here is 7"));
}

TEST_F(BusTest, OnlyRankZeroSendsDown) {
  boot({.size = 3, .arity = 2});
  const Result<void> sent = world_->bus(1).broadcast(text("x"));
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().message(), HasSubstr("only rank 0"));
}

TEST_F(BusTest, NothingIsSentToWhoIsNotThere) {
  make({.size = 3, .arity = 2});
  ASSERT_TRUE(world_->start(kRoot));
  ASSERT_TRUE(world_->start(1));
  ASSERT_TRUE(wait_for([&] { return count<Joined>(kRoot) == 1; }));
  EXPECT_THAT(root().send_to(2, text("x")).error().message(), HasSubstr("expected"));
  EXPECT_FALSE(root().send_to(0, text("x")));
  EXPECT_FALSE(root().send_to(3, text("x")));
  EXPECT_FALSE(root().send_to(1, text(std::string(16U << 20U, 'x'))));
  EXPECT_EQ(root().awaited().text(), "2");
}

TEST_F(BusTest, ALateParentFindsItsChildrenAdopted) {
  make({.size = 7, .arity = 2, .timing = quick()});
  ASSERT_TRUE(world_->start(kRoot));
  for (const Rank rank : {2U, 3U, 4U, 5U, 6U}) ASSERT_TRUE(world_->start(rank));
  ASSERT_TRUE(wait_for([&] { return count<Joined>(kRoot) == 5; }));
  ASSERT_TRUE(wait_for([&] { return count<Attached>(3) >= 1 && count<Attached>(5) >= 1; }));
  EXPECT_EQ(all<Attached>(3)[0].parent, kRoot);  // 1, its parent, never came
  EXPECT_EQ(all<Attached>(5)[0].parent, 2U);
  ASSERT_TRUE(world_->start(1));
  ASSERT_TRUE(wait_for([&] { return count<Joined>(kRoot) == 6; }));
  for (const Rank rank : {1U, 3U, 4U}) {
    ASSERT_TRUE(root().send_to(rank, text("welcome")));
    EXPECT_TRUE(wait_for([&] { return count<Received>(rank) == 1; })) << rank;
  }
}

TEST_F(BusTest, ABusNeedsAPlaceInTheTree) {
  make({.size = 3, .arity = 2});
  ASSERT_TRUE(world_->start(kRoot));
  const auto try_with = [&](const std::function<void(BusOptions&)>& change) {
    BusOptions options = world_->options_of(1);
    change(options);
    const auto bus = Bus::start(world_->loop().get_executor(), world_->shared_context(),
                                std::move(options), [](const Event&) {});
    return bus ? std::string() : bus.error().message();
  };
  EXPECT_THAT(try_with([](BusOptions& o) { o.rank = 3; }), HasSubstr("rank 3 of 3"));
  EXPECT_THAT(try_with([](BusOptions& o) { o.arity = 0; }), HasSubstr("arity 0"));
  EXPECT_THAT(try_with([](BusOptions& o) { o.root_endpoint = "nowhere"; }), HasSubstr("'nowhere'"));
  EXPECT_THAT(try_with([](BusOptions& o) {
                o.rank = kRoot;
                o.bind_address = "203.0.113.1";
              }),
              HasSubstr("bind a TCP port of '203.0.113.1'"));
  EXPECT_THAT(
      try_with([](BusOptions& o) { o.hello.set_topology(std::string(kMostTopology + 1, 'x')); }),
      HasSubstr("topology"));
}

}  // namespace
}  // namespace conode::bus
