// SPDX-License-Identifier: Apache-2.0
// What the bus knows and decides, without a socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/bus/dispatch.h"
#include "agent/bus/membership.h"
#include "agent/bus/rank_set.h"
#include "agent/bus/replay_window.h"
#include "agent/bus/roster.h"
#include "agent/bus/subtree.h"
#include "agent/bus/tree.h"

namespace conode::bus {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

wire::Member member(Rank rank, Rank parent, uint64_t epoch) {
  wire::Member member;
  member.set_rank(rank);
  member.set_parent(parent);
  member.set_epoch(epoch);
  return member;
}

TEST(Tree, ParentsAndChildrenAgree) {
  for (const uint32_t arity : {1U, 2U, 3U, 16U}) {
    const Tree tree(100, arity);
    uint32_t children = 0;
    for (Rank rank = 0; rank < tree.size(); ++rank) {
      EXPECT_EQ(tree.has_children(rank), !tree.children(rank).empty());
      for (const Rank child : tree.children(rank)) {
        EXPECT_EQ(tree.parent(child), rank);
        EXPECT_TRUE(tree.is_ancestor(rank, child));
        ++children;
      }
    }
    EXPECT_EQ(children, 99U);  // everyone but the root has exactly one parent
  }
}

TEST(Tree, AncestorsEndAtTheRoot) {
  const Tree tree(4096, 2);
  EXPECT_THAT(tree.ancestors(9), ElementsAre(4, 1, 0));
  EXPECT_THAT(tree.ancestors(0), IsEmpty());
  EXPECT_FALSE(tree.is_ancestor(4, 4));
  EXPECT_FALSE(tree.is_ancestor(3, 9));
  EXPECT_FALSE(tree.is_ancestor(9, 4));
}

TEST(Tree, TheLastRanksHaveNoOverflow) {
  const Tree tree(UINT32_MAX, 16);
  EXPECT_THAT(tree.children(UINT32_MAX - 2), IsEmpty());
  EXPECT_FALSE(tree.has_children(UINT32_MAX - 2));
}

TEST(RankSet, JoinsAndSplitsRanges) {
  RankSet set;
  for (const Rank rank : {5U, 3U, 4U, 9U, 0U}) set.add(rank);
  EXPECT_EQ(set.text(), "0,3-5,9");
  EXPECT_EQ(set.count(), 5U);
  set.add(1, 8);
  EXPECT_EQ(set.text(), "0-9");
  set.remove(4);
  EXPECT_EQ(set.text(), "0-3,5-9");
  set.remove(RankSet::all(6));
  EXPECT_EQ(set.text(), "6-9");
  EXPECT_FALSE(set.contains(5));
  EXPECT_TRUE(set.contains(6));
  EXPECT_FALSE(set.contains(10));
  EXPECT_THAT(set.ranks(), ElementsAre(6, 7, 8, 9));
}

TEST(RankSet, AgreesWithABitmap) {
  RankSet set;
  std::vector<bool> bits(64);
  uint32_t state = 1;
  for (int step = 0; step < 2000; ++step) {
    state = state * 1664525U + 1013904223U;
    const Rank rank = (state >> 16U) % 64;
    const bool add = (state >> 28U) % 2 == 0;
    if (add)
      set.add(rank);
    else
      set.remove(rank);
    bits[rank] = add;
    for (Rank r = 0; r < 64; ++r) ASSERT_EQ(set.contains(r), bits[r]) << step;
  }
}

TEST(RankSet, SurvivesTheWireAndDropsWhatIsOutside) {
  RankSet set;
  set.add(1, 3);
  set.add(7);
  EXPECT_EQ(RankSet::from_wire(set.to_wire(), 8), set);
  EXPECT_EQ(RankSet::from_wire(set.to_wire(), 3).text(), "1-2");
  wire::RankRanges wrong;
  wire::RankRange& range = *wrong.add_ranges();
  range.set_first(5);
  range.set_last(2);
  EXPECT_TRUE(RankSet::from_wire(wrong, 100).empty());
}

TEST(ReplayWindow, AcceptsEachNumberOnce) {
  ReplayWindow window;
  EXPECT_FALSE(window.accept(0));
  EXPECT_TRUE(window.accept(100));
  EXPECT_FALSE(window.accept(100));
  EXPECT_TRUE(window.accept(102));
  EXPECT_TRUE(window.accept(101));  // late, but within the window
  EXPECT_FALSE(window.accept(101));
}

TEST(ReplayWindow, RefusesWhatIsTooOld) {
  ReplayWindow window;
  EXPECT_TRUE(window.accept(1));
  EXPECT_TRUE(window.accept(1 + ReplayWindow::kWidth));
  EXPECT_FALSE(window.accept(1));
  EXPECT_TRUE(window.accept(2));
  EXPECT_TRUE(window.accept(10 * ReplayWindow::kWidth));  // a jump empties the window
  EXPECT_TRUE(window.accept(10 * ReplayWindow::kWidth - 5));
  EXPECT_TRUE(window.accept(UINT64_MAX));
  EXPECT_FALSE(window.accept(UINT64_MAX));
}

TEST(Membership, AnAgentFindsItsPlaceAndLosesIt) {
  EXPECT_EQ(next(PlaceState::seeking, PlaceEvent::parent_found)->to, PlaceState::attaching);
  EXPECT_EQ(next(PlaceState::attaching, PlaceEvent::accepted)->action,
            PlaceAction::announce_attached);
  const auto orphaned = next(PlaceState::attached, PlaceEvent::parent_failed);
  EXPECT_EQ(orphaned->to, PlaceState::attaching);
  EXPECT_EQ(orphaned->action, PlaceAction::try_next_ancestor);
  EXPECT_EQ(next(PlaceState::attaching, PlaceEvent::gave_up)->action,
            PlaceAction::announce_root_lost);
  EXPECT_EQ(next(PlaceState::attached, PlaceEvent::root_lost_told)->to, PlaceState::ended);
}

TEST(Membership, NothingHappensToWhatHasEnded) {
  for (int event = 0; event <= static_cast<int>(PlaceEvent::stopped); ++event)
    EXPECT_FALSE(next(PlaceState::ended, static_cast<PlaceEvent>(event))) << event;
  EXPECT_FALSE(next(PlaceState::seeking, PlaceEvent::parent_failed));
}

TEST(Membership, AChildIsReportedOnce) {
  EXPECT_EQ(next(ChildState::attached, ChildEvent::silent)->action, ChildAction::report_lost);
  EXPECT_FALSE(next(ChildState::lost, ChildEvent::unreachable));
  EXPECT_FALSE(next(ChildState::left, ChildEvent::silent));
  EXPECT_FALSE(next(ChildState::absent, ChildEvent::goodbye));
  EXPECT_EQ(next(ChildState::lost, ChildEvent::attach)->action, ChildAction::welcome);
}

TEST(Membership, AMemberIsInDoubtBeforeItIsLost) {
  EXPECT_EQ(next(MemberState::joined, MemberEvent::link_lost)->to, MemberState::doubtful);
  EXPECT_EQ(next(MemberState::doubtful, MemberEvent::attached)->action, MemberAction::send_again);
  EXPECT_EQ(next(MemberState::doubtful, MemberEvent::doubt_over)->action,
            MemberAction::announce_lost);
  EXPECT_FALSE(next(MemberState::expected, MemberEvent::link_lost));
  EXPECT_FALSE(next(MemberState::lost, MemberEvent::doubt_over));
}

TEST(Subtree, UnitesReadinessOfItsBranches) {
  Subtree subtree(1, 100);
  subtree.attach(member(3, 1, 1));
  subtree.attach(member(7, 3, 1));
  RankSet below;
  below.add(3);
  below.add(7);
  wire::Readiness readiness;
  *readiness.mutable_ready() = below.to_wire();
  readiness.add_troubled()->set_rank(8);
  readiness.mutable_troubled(0)->set_text("no space left");
  subtree.set_readiness(3, readiness);
  subtree.set_ready(true);
  EXPECT_EQ(RankSet::from_wire(subtree.readiness().ready(), 100).text(), "1,3,7");
  EXPECT_EQ(subtree.readiness().troubled(0).text(), "no space left");
  subtree.drop_branch(3);
  EXPECT_EQ(RankSet::from_wire(subtree.readiness().ready(), 100).text(), "1");
  EXPECT_THAT(subtree.members(), IsEmpty());
}

class RosterTest : public ::testing::Test {
 protected:
  void join(Rank rank, Rank parent, uint64_t epoch) {
    wire::Report report;
    report.add_hellos()->set_rank(rank);
    *report.add_attached() = member(rank, parent, epoch);
    roster_.absorb(report);
  }
  void move(Rank rank, Rank parent, uint64_t epoch) {
    wire::Report report;
    *report.add_attached() = member(rank, parent, epoch);
    roster_.absorb(report);
  }
  void lose(Rank rank, Rank parent, uint64_t epoch) {
    wire::Report report;
    *report.add_lost() = member(rank, parent, epoch);
    roster_.absorb(report);
  }

  std::vector<std::string> events_;
  Timing timing_;
  Roster roster_{8,
                 timing_,
                 {.joined = [this](Rank r, const Hello&) { note("joined", r); },
                  .lost = [this](Rank r, const std::string&) { note("lost", r); },
                  .left = [this](Rank r, const std::string&) { note("left", r); },
                  .send_again = [this](Rank r) { note("again", r); },
                  .hello_wanted = [this](Rank r) { note("hello?", r); }}};

  void note(const std::string& what, Rank rank) {
    events_.push_back(what + " " + std::to_string(rank));
  }
  void much_later() { roster_.tick(Roster::Clock::now() + std::chrono::hours(1)); }
};

TEST_F(RosterTest, ChildrenOfALostAgentAreSavedByAttachingElsewhere) {
  join(1, 0, 10);
  join(3, 1, 10);
  join(4, 1, 10);
  lose(1, 0, 10);
  EXPECT_EQ(roster_.state(3), MemberState::doubtful);
  move(3, 0, 11);
  much_later();
  EXPECT_THAT(events_,
              ElementsAre("joined 1", "joined 3", "joined 4", "again 3", "lost 1", "lost 4"));
  EXPECT_EQ(roster_.in(MemberState::joined).text(), "0,3");
  EXPECT_EQ(roster_.in(MemberState::expected).text(), "2,5-7");
}

TEST_F(RosterTest, AnOldParentsLossReportComesTooLate) {
  join(1, 0, 10);
  join(3, 1, 10);
  move(3, 0, 11);  // the new parent's news is faster
  lose(3, 1, 10);
  much_later();
  EXPECT_THAT(events_, ElementsAre("joined 1", "joined 3", "again 3"));
}

TEST_F(RosterTest, AHelloThatGotLostIsAskedFor) {
  move(2, 0, 10);
  EXPECT_THAT(events_, ElementsAre("hello? 2"));
  wire::Report report;
  report.add_hellos()->set_rank(2);
  roster_.absorb(report);
  roster_.absorb(report);
  EXPECT_THAT(events_, ElementsAre("hello? 2", "joined 2"));
}

TEST_F(RosterTest, WhoIsLostMayComeBack) {
  join(1, 0, 10);
  lose(1, 0, 10);
  much_later();
  move(1, 0, 12);
  EXPECT_THAT(events_, ElementsAre("joined 1", "lost 1", "joined 1"));
}

TEST_F(RosterTest, AGoodbyeIsNoLoss) {
  join(1, 0, 10);
  wire::Report report;
  *report.add_left() = member(1, 0, 10);
  roster_.absorb(report);
  much_later();
  EXPECT_THAT(events_, ElementsAre("joined 1", "left 1"));
}

TEST(Dispatch, KeepsWhatWasNotReceived) {
  Dispatch dispatch(std::chrono::hours(1));
  Message message;
  message.set_opaque("x");
  EXPECT_EQ(dispatch.to_one(3, message).sequence(), 1U);
  EXPECT_EQ(dispatch.to_one(3, message).sequence(), 2U);
  EXPECT_EQ(dispatch.to_one(4, message).sequence(), 1U);
  wire::Receipt receipt;
  receipt.set_rank(3);
  receipt.set_sequence(1);
  dispatch.received(receipt);
  const auto again = dispatch.again(3);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].sequence(), 2U);
  EXPECT_TRUE(again[0].again());
  dispatch.forget(3);
  EXPECT_THAT(dispatch.again(3), IsEmpty());
}

TEST(Dispatch, BroadcastsAreKeptForAWhile) {
  Dispatch kept(std::chrono::hours(1));
  Dispatch dropped(std::chrono::milliseconds(-1));
  Message message;
  (void)kept.to_all(message, 7);
  (void)dropped.to_all(message, 7);
  ASSERT_EQ(kept.again(5).size(), 1U);
  EXPECT_EQ(kept.again(5)[0].via(), 5U);
  EXPECT_EQ(kept.again(5)[0].gather(), 7U);
  EXPECT_THAT(dropped.again(5), IsEmpty());
}

}  // namespace
}  // namespace conode::bus
