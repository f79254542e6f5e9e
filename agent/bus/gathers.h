// SPDX-License-Identifier: Apache-2.0
// Rank 0's open questions: who was asked, who has answered. Each ends when everyone has answered or
// is gone, or when its time is up. On the bus's loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>

#include "agent/bus/bus.pb.h"
#include "agent/bus/rank_set.h"

namespace conode::bus {

struct GatherResult {
  std::map<Rank, Answer> answers;
  RankSet missing;  // asked, but gone or too late
};

class Gathers {
 public:
  using Done = std::function<void(const GatherResult&)>;

  explicit Gathers(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

  // `done`: once, never within this call.
  void open(uint64_t id, const RankSet& asked, std::chrono::milliseconds timeout, Done done);
  void answer(uint64_t id, Rank rank, const Answer& answer);
  void gone(Rank rank);

 private:
  struct Gather {
    explicit Gather(const boost::asio::any_io_executor& executor) : timer(executor) {}
    RankSet waiting;
    GatherResult result;
    Done done;
    boost::asio::steady_timer timer;
  };
  using Open = std::map<uint64_t, std::unique_ptr<Gather>>;
  void finish_soon(uint64_t id);
  void finish(uint64_t id);

  boost::asio::any_io_executor executor_;
  Open open_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace conode::bus
