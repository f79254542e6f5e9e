// SPDX-License-Identifier: Apache-2.0
// What an agent knows of itself and everyone below it: who is attached where, who is ready. This is
// state, not news: after a change of parent all of it is told again. On the bus's loop.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/bus/rank_set.h"
#include "agent/bus/tree.h"
#include "agent/bus/wire.pb.h"

namespace conode::bus {

class Subtree {
 public:
  Subtree(Rank self, uint32_t size) : self_(self), size_(size) {}

  void set_ready(bool ready) { ready_ = ready; }
  // Empty: none.
  void set_trouble(std::string text) { trouble_ = std::move(text); }

  void attach(const wire::Member& member) { members_[member.rank()] = member; }
  void leave(Rank rank) { members_.erase(rank); }
  void set_readiness(Rank child, const wire::Readiness& readiness);
  // The child and everyone whose way up leads through it are no longer below.
  void drop_branch(Rank child);

  [[nodiscard]] std::vector<wire::Member> members() const;
  [[nodiscard]] wire::Readiness readiness() const;

 private:
  struct Branch {
    RankSet ready;
    std::map<Rank, std::string> troubled;
  };
  [[nodiscard]] bool leads_through(Rank rank, Rank child) const;

  Rank self_;
  uint32_t size_;
  bool ready_ = false;
  std::string trouble_;
  std::map<Rank, wire::Member> members_;
  std::map<Rank, Branch> branches_;  // by child
};

}  // namespace conode::bus
