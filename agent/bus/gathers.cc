// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/gathers.h"

#include <boost/asio/post.hpp>

namespace conode::bus {

void Gathers::open(uint64_t id, const RankSet& asked, std::chrono::milliseconds timeout,
                   Done done) {
  auto gather = std::make_unique<Gather>(executor_);
  gather->waiting = asked;
  gather->done = std::move(done);
  gather->timer.expires_after(timeout);
  gather->timer.async_wait(
      [this, id, alive = std::weak_ptr<int>(alive_)](const boost::system::error_code& error) {
        if (!error && !alive.expired()) finish(id);
      });
  open_[id] = std::move(gather);
  if (asked.empty()) finish_soon(id);
}

void Gathers::answer(uint64_t id, Rank rank, const Answer& answer) {
  const auto gather = open_.find(id);
  if (gather == open_.end() || !gather->second->waiting.contains(rank)) return;
  gather->second->result.answers[rank] = answer;
  gather->second->waiting.remove(rank);
  if (gather->second->waiting.empty()) finish(id);
}

void Gathers::gone(Rank rank) {
  for (const auto& [id, gather] : open_) {
    if (!gather->waiting.contains(rank)) continue;
    gather->waiting.remove(rank);
    gather->result.missing.add(rank);
    if (gather->waiting.empty()) finish_soon(id);
  }
}

void Gathers::finish_soon(uint64_t id) {
  boost::asio::post(executor_, [this, id, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) finish(id);
  });
}

void Gathers::finish(uint64_t id) {
  const auto gather = open_.extract(id);
  if (gather.empty()) return;
  gather.mapped()->result.missing.add(gather.mapped()->waiting);
  gather.mapped()->done(gather.mapped()->result);
}

}  // namespace conode::bus
