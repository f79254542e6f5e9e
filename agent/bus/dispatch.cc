// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/dispatch.h"

#include <algorithm>

namespace conode::bus {

wire::Downward Dispatch::number(Rank to) {
  wire::Downward downward;
  downward.set_to(to);
  downward.set_via(kEveryone);
  downward.set_sequence(++sequences_[to]);
  return downward;
}

wire::Downward Dispatch::to_one(Rank rank, const Message& message) {
  wire::Downward downward = number(rank);
  downward.set_message(message.SerializeAsString());
  waiting_[rank].push_back(downward);
  return downward;
}

wire::Downward Dispatch::ask_for_hello(Rank rank) {
  wire::Downward downward = number(rank);
  downward.set_hello_wanted(true);
  waiting_[rank].push_back(downward);
  return downward;
}

wire::Downward Dispatch::to_all(const Message& message, uint64_t gather) {
  wire::Downward downward = number(kEveryone);
  downward.set_message(message.SerializeAsString());
  downward.set_gather(gather);
  const auto now = Clock::now();
  while (!broadcasts_.empty() && now - broadcasts_.front().sent > keep_for_)
    broadcasts_.pop_front();
  broadcasts_.push_back({now, downward});
  return downward;
}

void Dispatch::received(const wire::Receipt& receipt) {
  const auto waiting = waiting_.find(receipt.rank());
  if (waiting == waiting_.end()) return;
  std::erase_if(waiting->second, [&](const wire::Downward& downward) {
    return downward.sequence() == receipt.sequence();
  });
  if (waiting->second.empty()) waiting_.erase(waiting);
}

std::vector<wire::Downward> Dispatch::again(Rank rank) const {
  std::vector<wire::Downward> missed;
  const auto now = Clock::now();
  for (const Broadcast& broadcast : broadcasts_) {
    if (now - broadcast.sent > keep_for_) continue;
    missed.push_back(broadcast.downward);
    missed.back().set_via(rank);
  }
  const auto waiting = waiting_.find(rank);
  if (waiting != waiting_.end())
    missed.insert(missed.end(), waiting->second.begin(), waiting->second.end());
  for (wire::Downward& downward : missed) downward.set_again(true);
  return missed;
}

}  // namespace conode::bus
