// SPDX-License-Identifier: Apache-2.0
// Rank 0's outgoing messages: numbered for each target, kept until received (or, to everyone, for
// as long as one may still be under way), and sent again to who changed its place. Receivers drop
// what they have seen. On the bus's loop.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "agent/bus/bus.pb.h"
#include "agent/bus/tree.h"
#include "agent/bus/wire.pb.h"

namespace conode::bus {

class Dispatch {
 public:
  // `keep_for`: how long a broadcast may be wanted again.
  explicit Dispatch(std::chrono::milliseconds keep_for) : keep_for_(keep_for) {}

  [[nodiscard]] wire::Downward to_one(Rank rank, const Message& message);
  [[nodiscard]] wire::Downward ask_for_hello(Rank rank);
  // gather 0: no answer wanted.
  [[nodiscard]] wire::Downward to_all(const Message& message, uint64_t gather);

  void received(const wire::Receipt& receipt);
  // It is lost or left: nothing waits for it any more.
  void forget(Rank rank) { waiting_.erase(rank); }
  // What `rank` may have missed.
  [[nodiscard]] std::vector<wire::Downward> again(Rank rank) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Broadcast {
    Clock::time_point sent;
    wire::Downward downward;
  };
  wire::Downward number(Rank to);

  std::chrono::milliseconds keep_for_;
  std::map<Rank, uint64_t> sequences_;
  std::map<Rank, std::deque<wire::Downward>> waiting_;
  std::deque<Broadcast> broadcasts_;
};

}  // namespace conode::bus
