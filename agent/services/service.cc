// SPDX-License-Identifier: Apache-2.0
#include "agent/services/service.h"

#include <algorithm>
#include <array>

namespace conode::services {
namespace {

struct Row {
  State from;
  Event event;
  Transition transition;
};

constexpr std::array<Row, 9> kTable{{
    {State::waiting, Event::dependencies_ready, {State::starting, Action::spawn}},
    {State::starting, Event::became_ready, {State::ready, Action::announce_ready}},
    {State::starting, Event::exited, {State::backing_off, Action::schedule_restart}},
    {State::starting, Event::ready_timeout, {State::starting, Action::kill}},
    {State::starting, Event::start_failed, {State::failed, Action::report}},
    {State::ready, Event::exited, {State::backing_off, Action::schedule_restart}},
    {State::backing_off, Event::backoff_over, {State::starting, Action::spawn}},
    {State::backing_off, Event::gave_up, {State::failed, Action::report}},
    {State::backing_off, Event::exited, {State::backing_off, Action::none}},
}};

}  // namespace

std::optional<Transition> next(State state, Event event) {
  const auto* row = std::find_if(kTable.begin(), kTable.end(),
                                 [&](const Row& r) { return r.from == state && r.event == event; });
  if (row == kTable.end()) return std::nullopt;
  return row->transition;
}

std::string_view to_string(State state) {
  static constexpr std::array<std::string_view, 5> kNames{"waiting", "starting", "ready",
                                                          "backing off", "failed"};
  return kNames.at(static_cast<size_t>(state));
}

std::chrono::milliseconds backoff(int restarts) {
  constexpr std::chrono::milliseconds kFirst{100};
  constexpr std::chrono::milliseconds kLongest{10000};
  return std::min(kLongest, kFirst * (1 << std::clamp(restarts, 0, 10)));
}

int attempts_in_a_row(int attempts, std::chrono::steady_clock::duration lived) {
  return lived < std::chrono::seconds(10) ? attempts : std::min(attempts, 1);
}

}  // namespace conode::services
