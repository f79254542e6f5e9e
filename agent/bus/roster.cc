// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/roster.h"

#include <fmt/format.h>

namespace conode::bus {

Roster::Roster(uint32_t size, Timing timing, Handlers handlers)
    : timing_(timing), handlers_(std::move(handlers)), members_(size) {
  members_.at(kRoot).state = MemberState::joined;
  members_.at(kRoot).announced = true;
}

void Roster::absorb(const wire::Report& report) {
  for (const Hello& hello : report.hellos()) {
    members_.at(hello.rank()).hello = hello;
    announce(hello.rank());
  }
  for (const wire::Member& member : report.attached()) on_attached(member);
  for (const wire::Member& member : report.lost()) on_lost(member);
  for (const wire::Member& member : report.left()) {
    members_.at(member.rank()).reason = member.reason();
    handle(member.rank(), MemberEvent::goodbye);
  }
}

// Reports of an old and a new parent come on different ways, in any order: epochs tell which is
// newer. The same one again follows a re-attachment further up.
void Roster::on_attached(const wire::Member& told) {
  Member& member = members_.at(told.rank());
  if (told.epoch() < member.epoch) return;
  if (told.epoch() == member.epoch && member.state == MemberState::joined) return;
  member.epoch = told.epoch();
  member.parent = told.parent();
  handle(told.rank(), MemberEvent::attached);
}

void Roster::on_lost(const wire::Member& told) {
  Member& member = members_.at(told.rank());
  if (told.epoch() < member.epoch) return;
  member.reason = told.reason();
  handle(told.rank(), MemberEvent::link_lost, 2 * timing_.heartbeat);
  for (Rank rank = told.rank() + 1; rank < members_.size(); ++rank) {
    if (!leads_through(rank, told.rank())) continue;
    members_[rank].reason = fmt::format("rank {} is lost", told.rank());
    handle(rank, MemberEvent::path_lost, 2 * timing_.dead_after);
  }
}

bool Roster::leads_through(Rank rank, Rank top) const {
  while (rank > top && members_[rank].epoch != 0) rank = members_[rank].parent;
  return rank == top;
}

void Roster::handle(Rank rank, MemberEvent event, Clock::duration doubt_for) {
  Member& member = members_.at(rank);
  const auto transition = next(member.state, event);
  if (!transition) return;
  member.state = transition->to;
  switch (transition->action) {
    case MemberAction::none:
      return;
    case MemberAction::announce_joined:
      member.announced = false;
      if (!member.hello) return handlers_.hello_wanted(rank);
      return announce(rank);
    case MemberAction::send_again:
      return handlers_.send_again(rank);
    case MemberAction::doubt:
      member.doubt_until = Clock::now() + doubt_for;
      return;
    case MemberAction::announce_lost:
      return handlers_.lost(rank, member.reason);
    case MemberAction::announce_left:
      return handlers_.left(rank, member.reason);
  }
}

void Roster::announce(Rank rank) {
  Member& member = members_.at(rank);
  if (member.state != MemberState::joined || std::exchange(member.announced, true)) return;
  handlers_.joined(rank, *member.hello);
}

void Roster::tick(Clock::time_point now) {
  for (Rank rank = 0; rank < members_.size(); ++rank)
    if (members_[rank].state == MemberState::doubtful && now >= members_[rank].doubt_until)
      handle(rank, MemberEvent::doubt_over);
}

RankSet Roster::in(MemberState state) const {
  RankSet set;
  for (Rank rank = 0; rank < members_.size(); ++rank)
    if (members_[rank].state == state) set.add(rank);
  return set;
}

}  // namespace conode::bus
