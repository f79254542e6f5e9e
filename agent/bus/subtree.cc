// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/subtree.h"

namespace conode::bus {

void Subtree::set_readiness(Rank child, const wire::Readiness& readiness) {
  Branch& branch = branches_[child];
  branch.ready = RankSet::from_wire(readiness.ready(), size_);
  branch.troubled.clear();
  for (const wire::Trouble& trouble : readiness.troubled())
    branch.troubled[trouble.rank()] = trouble.text();
}

bool Subtree::leads_through(Rank rank, Rank child) const {
  while (rank != child) {
    const auto member = members_.find(rank);
    if (member == members_.end()) return false;
    rank = member->second.parent();  // always smaller than rank
  }
  return true;
}

void Subtree::drop_branch(Rank child) {
  branches_.erase(child);
  std::vector<Rank> gone;
  for (const auto& [rank, member] : members_)
    if (leads_through(rank, child)) gone.push_back(rank);
  for (const Rank rank : gone) members_.erase(rank);
}

std::vector<wire::Member> Subtree::members() const {
  std::vector<wire::Member> members;
  members.reserve(members_.size());
  for (const auto& [rank, member] : members_) members.push_back(member);
  return members;
}

wire::Readiness Subtree::readiness() const {
  RankSet ready;
  std::map<Rank, std::string> troubled;
  for (const auto& [child, branch] : branches_) {
    ready.add(branch.ready);
    troubled.insert(branch.troubled.begin(), branch.troubled.end());
  }
  if (ready_) ready.add(self_);
  if (!trouble_.empty()) troubled[self_] = trouble_;
  wire::Readiness readiness;
  *readiness.mutable_ready() = ready.to_wire();
  for (const auto& [rank, text] : troubled) {
    wire::Trouble& trouble = *readiness.add_troubled();
    trouble.set_rank(rank);
    trouble.set_text(text);
  }
  return readiness;
}

}  // namespace conode::bus
