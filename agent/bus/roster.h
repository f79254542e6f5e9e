// SPDX-License-Identifier: Apache-2.0
// The members of the job as rank 0 knows them; each one's life is the MemberState table. An agent
// that lost its parent is in doubt until it attaches elsewhere or time is up: only then it is lost.
// On the bus's loop.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/bus/bus.pb.h"
#include "agent/bus/membership.h"
#include "agent/bus/options.h"
#include "agent/bus/rank_set.h"
#include "agent/bus/wire.pb.h"

namespace conode::bus {

class Roster {
 public:
  using Clock = std::chrono::steady_clock;
  struct Handlers {
    std::function<void(Rank, const Hello&)> joined;
    std::function<void(Rank, const std::string& reason)> lost;
    std::function<void(Rank, const std::string& reason)> left;
    std::function<void(Rank)> send_again;    // messages to it may have been lost on the way
    std::function<void(Rank)> hello_wanted;  // it is attached, but its hello got lost
  };

  Roster(uint32_t size, Timing timing, Handlers handlers);

  // One report of a child, or this agent's own news of its children.
  void absorb(const wire::Report& report);
  // Each heartbeat.
  void tick(Clock::time_point now);

  [[nodiscard]] RankSet in(MemberState state) const;
  [[nodiscard]] MemberState state(Rank rank) const { return members_.at(rank).state; }

 private:
  struct Member {
    MemberState state = MemberState::expected;
    uint64_t epoch = 0;
    Rank parent = 0;
    Clock::time_point doubt_until;
    std::string reason;
    std::optional<Hello> hello;
    bool announced = false;
  };

  void on_attached(const wire::Member& told);
  void on_lost(const wire::Member& told);
  void handle(Rank rank, MemberEvent event, Clock::duration doubt_for = {});
  void announce(Rank rank);
  [[nodiscard]] bool leads_through(Rank rank, Rank top) const;

  Timing timing_;
  Handlers handlers_;
  std::vector<Member> members_;  // by rank; rank 0 has joined
};

}  // namespace conode::bus
