// SPDX-License-Identifier: Apache-2.0
#include "agent/job/life_cycle.h"

#include <algorithm>
#include <array>

namespace conode::job {
namespace {

struct Row {
  State from;
  Event event;
  Transition transition;
};

constexpr std::array<Row, 15> kTable{{
    {State::starting, Event::sandbox_up, {State::starting, Action::start_services}},
    {State::starting, Event::cluster_ready, {State::running, Action::announce}},
    {State::starting, Event::failed, {State::stopping, Action::stop}},
    {State::starting, Event::service_failed, {State::stopping, Action::stop}},
    {State::starting, Event::sandbox_lost, {State::stopping, Action::stop}},
    {State::starting, Event::node_missing, {State::stopping, Action::stop}},
    {State::starting, Event::root_lost, {State::stopping, Action::stop}},
    {State::starting, Event::stop_requested, {State::stopping, Action::stop}},
    {State::running, Event::service_failed, {State::running, Action::report}},
    {State::running, Event::sandbox_lost, {State::stopping, Action::stop}},
    {State::running, Event::node_missing, {State::stopping, Action::stop}},
    {State::running, Event::root_lost, {State::stopping, Action::stop}},
    {State::running, Event::workload_ended, {State::stopping, Action::stop}},
    {State::running, Event::stop_requested, {State::stopping, Action::stop}},
    {State::stopping, Event::cleaned, {State::ended, Action::quit}},
}};

}  // namespace

std::optional<Transition> next(State state, Event event) {
  const auto* row = std::find_if(kTable.begin(), kTable.end(),
                                 [&](const Row& r) { return r.from == state && r.event == event; });
  if (row == kTable.end()) return std::nullopt;
  return row->transition;
}

std::string_view to_string(State state) {
  static constexpr std::array<std::string_view, 4> kNames{"starting", "running", "stopping",
                                                          "ended"};
  return kNames.at(static_cast<size_t>(state));
}

}  // namespace conode::job
