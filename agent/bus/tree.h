// SPDX-License-Identifier: Apache-2.0
// The k-ary tree of the agents by rank: the parent of r is (r - 1) / k, rank 0 is the root. Pure
// arithmetic; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace conode::bus {

using Rank = uint32_t;
inline constexpr Rank kRoot = 0;
inline constexpr Rank kEveryone = UINT32_MAX;

class Tree {
 public:
  // size >= 1, arity >= 1.
  Tree(uint32_t size, uint32_t arity) : size_(size), arity_(arity) {}

  [[nodiscard]] uint32_t size() const { return size_; }
  [[nodiscard]] uint32_t arity() const { return arity_; }
  // Not for the root.
  [[nodiscard]] Rank parent(Rank rank) const { return (rank - 1) / arity_; }
  [[nodiscard]] std::vector<Rank> children(Rank rank) const;
  [[nodiscard]] bool has_children(Rank rank) const { return uint64_t{rank} * arity_ + 1 < size_; }
  // Nearest first; the last is the root. Empty for the root.
  [[nodiscard]] std::vector<Rank> ancestors(Rank rank) const;
  // Strictly above.
  [[nodiscard]] bool is_ancestor(Rank above, Rank rank) const;

 private:
  uint32_t size_;
  uint32_t arity_;
};

}  // namespace conode::bus
