// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/membership.h"

#include <algorithm>
#include <array>

namespace conode::bus {
namespace {

template <typename State, typename Event, typename Action>
struct Row {
  State from;
  Event event;
  Transition<State, Action> transition;
};

using P = PlaceState;
using PE = PlaceEvent;
using PA = PlaceAction;
constexpr std::array<Row<P, PE, PA>, 11> kPlaceTable{{
    {P::seeking, PE::parent_found, {P::attaching, PA::connect}},
    {P::seeking, PE::gave_up, {P::ended, PA::announce_root_lost}},
    {P::seeking, PE::stopped, {P::ended, PA::none}},
    {P::attaching, PE::accepted, {P::attached, PA::announce_attached}},
    {P::attaching, PE::parent_failed, {P::attaching, PA::try_next_ancestor}},
    {P::attaching, PE::gave_up, {P::ended, PA::announce_root_lost}},
    {P::attaching, PE::root_lost_told, {P::ended, PA::announce_root_lost}},
    {P::attaching, PE::stopped, {P::ended, PA::say_goodbye}},
    {P::attached, PE::parent_failed, {P::attaching, PA::try_next_ancestor}},
    {P::attached, PE::root_lost_told, {P::ended, PA::announce_root_lost}},
    {P::attached, PE::stopped, {P::ended, PA::say_goodbye}},
}};

using C = ChildState;
using CE = ChildEvent;
using CA = ChildAction;
constexpr std::array<Row<C, CE, CA>, 7> kChildTable{{
    {C::absent, CE::attach, {C::attached, CA::welcome}},
    {C::attached, CE::attach, {C::attached, CA::welcome}},
    {C::attached, CE::silent, {C::lost, CA::report_lost}},
    {C::attached, CE::unreachable, {C::lost, CA::report_lost}},
    {C::attached, CE::goodbye, {C::left, CA::report_left}},
    {C::lost, CE::attach, {C::attached, CA::welcome}},
    {C::left, CE::attach, {C::attached, CA::welcome}},
}};

using M = MemberState;
using ME = MemberEvent;
using MA = MemberAction;
constexpr std::array<Row<M, ME, MA>, 13> kMemberTable{{
    {M::expected, ME::attached, {M::joined, MA::announce_joined}},
    {M::joined, ME::attached, {M::joined, MA::send_again}},
    {M::joined, ME::link_lost, {M::doubtful, MA::doubt}},
    {M::joined, ME::path_lost, {M::doubtful, MA::doubt}},
    {M::joined, ME::goodbye, {M::left, MA::announce_left}},
    {M::doubtful, ME::attached, {M::joined, MA::send_again}},
    {M::doubtful, ME::link_lost, {M::doubtful, MA::none}},
    {M::doubtful, ME::path_lost, {M::doubtful, MA::none}},
    {M::doubtful, ME::doubt_over, {M::lost, MA::announce_lost}},
    {M::doubtful, ME::goodbye, {M::left, MA::announce_left}},
    {M::lost, ME::attached, {M::joined, MA::announce_joined}},
    {M::lost, ME::goodbye, {M::left, MA::announce_left}},
    {M::left, ME::attached, {M::joined, MA::announce_joined}},
}};

template <typename State, typename Event, typename Action, size_t kRows>
std::optional<Transition<State, Action>> look_up(
    const std::array<Row<State, Event, Action>, kRows>& table, State state, Event event) {
  const auto* row = std::find_if(table.begin(), table.end(), [&](const auto& r) {
    return r.from == state && r.event == event;
  });
  if (row == table.end()) return std::nullopt;
  return row->transition;
}

}  // namespace

std::optional<Transition<PlaceState, PlaceAction>> next(PlaceState state, PlaceEvent event) {
  return look_up(kPlaceTable, state, event);
}
std::optional<Transition<ChildState, ChildAction>> next(ChildState state, ChildEvent event) {
  return look_up(kChildTable, state, event);
}
std::optional<Transition<MemberState, MemberAction>> next(MemberState state, MemberEvent event) {
  return look_up(kMemberTable, state, event);
}

std::string_view to_string(PlaceState state) {
  static constexpr std::array<std::string_view, 4> kNames{"seeking", "attaching", "attached",
                                                          "ended"};
  return kNames.at(static_cast<size_t>(state));
}
std::string_view to_string(ChildState state) {
  static constexpr std::array<std::string_view, 4> kNames{"absent", "attached", "lost", "left"};
  return kNames.at(static_cast<size_t>(state));
}
std::string_view to_string(MemberState state) {
  static constexpr std::array<std::string_view, 5> kNames{"expected", "joined", "doubtful", "lost",
                                                          "left"};
  return kNames.at(static_cast<size_t>(state));
}

}  // namespace conode::bus
