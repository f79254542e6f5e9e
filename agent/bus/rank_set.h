// SPDX-License-Identifier: Apache-2.0
// A set of ranks as ranges: a whole subtree of the tree is one range a level, so that "everyone is
// ready" stays a few bytes whatever the size of the job. A value; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/bus/tree.h"
#include "agent/bus/wire.pb.h"

namespace conode::bus {

class RankSet {
 public:
  RankSet() = default;
  // 0 .. size-1
  [[nodiscard]] static RankSet all(uint32_t size);
  // Ranks from `size` on are left out, as are ranges that end before they begin.
  [[nodiscard]] static RankSet from_wire(const wire::RankRanges& ranges, uint32_t size);

  void add(Rank rank) { add(rank, rank); }
  void add(Rank first, Rank last);
  void add(const RankSet& other);
  void remove(Rank rank);
  void remove(const RankSet& other);

  [[nodiscard]] bool contains(Rank rank) const;
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] uint32_t count() const;
  [[nodiscard]] std::vector<Rank> ranks() const;
  // "0-3,7"
  [[nodiscard]] std::string text() const;
  [[nodiscard]] wire::RankRanges to_wire() const;

  bool operator==(const RankSet&) const = default;

 private:
  void remove(Rank first, Rank last);
  std::map<Rank, Rank> ranges_;  // first -> last, neither overlapping nor touching
};

}  // namespace conode::bus
