// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/rank_set.h"

#include <fmt/format.h>

#include <algorithm>

namespace conode::bus {

RankSet RankSet::all(uint32_t size) {
  RankSet set;
  if (size > 0) set.add(0, size - 1);
  return set;
}

RankSet RankSet::from_wire(const wire::RankRanges& ranges, uint32_t size) {
  RankSet set;
  for (const wire::RankRange& range : ranges.ranges()) {
    if (range.first() > range.last() || range.first() >= size) continue;
    set.add(range.first(), std::min(range.last(), size - 1));
  }
  return set;
}

void RankSet::add(Rank first, Rank last) {
  auto next = ranges_.upper_bound(first);
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (uint64_t{before->second} + 1 >= first) {
      first = before->first;
      last = std::max(last, before->second);
      next = before;
    }
  }
  while (next != ranges_.end() && next->first <= uint64_t{last} + 1) {
    last = std::max(last, next->second);
    next = ranges_.erase(next);
  }
  ranges_.emplace_hint(next, first, last);
}

void RankSet::add(const RankSet& other) {
  for (const auto& [first, last] : other.ranges_) add(first, last);
}

void RankSet::remove(Rank rank) { remove(rank, rank); }

void RankSet::remove(const RankSet& other) {
  for (const auto& [first, last] : other.ranges_) remove(first, last);
}

void RankSet::remove(Rank first, Rank last) {
  auto range = ranges_.upper_bound(first);
  if (range != ranges_.begin()) --range;
  while (range != ranges_.end() && range->first <= last) {
    const auto [from, to] = *range;
    if (to < first) {
      ++range;
      continue;
    }
    range = ranges_.erase(range);
    if (from < first) ranges_.emplace(from, first - 1);
    if (to > last) ranges_.emplace(last + 1, to);
  }
}

bool RankSet::contains(Rank rank) const {
  const auto next = ranges_.upper_bound(rank);
  return next != ranges_.begin() && std::prev(next)->second >= rank;
}

uint32_t RankSet::count() const {
  uint32_t count = 0;
  for (const auto& [first, last] : ranges_) count += last - first + 1;
  return count;
}

std::vector<Rank> RankSet::ranks() const {
  std::vector<Rank> ranks;
  for (const auto& [first, last] : ranges_)
    for (uint64_t rank = first; rank <= last; ++rank) ranks.push_back(static_cast<Rank>(rank));
  return ranks;
}

std::string RankSet::text() const {
  std::string text;
  for (const auto& [first, last] : ranges_) {
    if (!text.empty()) text += ',';
    text += first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
  }
  return text;
}

wire::RankRanges RankSet::to_wire() const {
  wire::RankRanges ranges;
  for (const auto& [first, last] : ranges_) {
    wire::RankRange& range = *ranges.add_ranges();
    range.set_first(first);
    range.set_last(last);
  }
  return ranges;
}

}  // namespace conode::bus
