// SPDX-License-Identifier: Apache-2.0
// Who is in the tree, as three tables: an agent's own place below its parent, a child as its parent
// sees it, and a member of the job as rank 0 sees it. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace conode::bus {

// An agent's own place. Rank 0 is always attached.
enum class PlaceState : uint8_t { seeking, attaching, attached, ended };
enum class PlaceEvent : uint8_t {
  parent_found,    // rank 0 said where the parent is, or the parent is rank 0
  accepted,        // the parent's welcome
  parent_failed,   // refused, silent, gone, or not reached in time
  gave_up,         // no ancestor was reached in time, rank 0 neither
  root_lost_told,  // by the parent
  stopped,         // by the agent itself
};
enum class PlaceAction : uint8_t {
  none,
  connect,
  announce_attached,
  try_next_ancestor,
  announce_root_lost,
  say_goodbye,
};

// A child, at its parent.
enum class ChildState : uint8_t { absent, attached, lost, left };
enum class ChildEvent : uint8_t { attach, silent, unreachable, goodbye };
enum class ChildAction : uint8_t { none, welcome, report_lost, report_left };

// A member, at rank 0.
enum class MemberState : uint8_t { expected, joined, doubtful, lost, left };
enum class MemberEvent : uint8_t {
  attached,    // somewhere in the tree, for the first time or again
  link_lost,   // its parent lost it
  path_lost,   // an agent between it and rank 0 is lost
  doubt_over,  // it did not attach elsewhere in time
  goodbye,
};
enum class MemberAction : uint8_t {
  none,
  announce_joined,
  send_again,  // what may have been lost on the way
  doubt,       // wait for it to attach elsewhere
  announce_lost,
  announce_left,
};

template <typename State, typename Action>
struct Transition {
  State to;
  Action action;
};

// Empty where the event means nothing in that state.
[[nodiscard]] std::optional<Transition<PlaceState, PlaceAction>> next(PlaceState state,
                                                                      PlaceEvent event);
[[nodiscard]] std::optional<Transition<ChildState, ChildAction>> next(ChildState state,
                                                                      ChildEvent event);
[[nodiscard]] std::optional<Transition<MemberState, MemberAction>> next(MemberState state,
                                                                        MemberEvent event);

[[nodiscard]] std::string_view to_string(PlaceState state);
[[nodiscard]] std::string_view to_string(ChildState state);
[[nodiscard]] std::string_view to_string(MemberState state);

}  // namespace conode::bus
