// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/tree.h"

#include <algorithm>

namespace conode::bus {

std::vector<Rank> Tree::children(Rank rank) const {
  std::vector<Rank> children;
  const uint64_t first = uint64_t{rank} * arity_ + 1;
  const uint64_t end = std::min<uint64_t>(first + arity_, size_);
  for (uint64_t child = first; child < end; ++child) children.push_back(static_cast<Rank>(child));
  return children;
}

std::vector<Rank> Tree::ancestors(Rank rank) const {
  std::vector<Rank> ancestors;
  while (rank != kRoot) ancestors.push_back(rank = parent(rank));
  return ancestors;
}

bool Tree::is_ancestor(Rank above, Rank rank) const {
  if (rank <= above) return false;
  while (rank > above) rank = parent(rank);
  return rank == above;
}

}  // namespace conode::bus
