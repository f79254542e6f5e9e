// SPDX-License-Identifier: Apache-2.0
// The life of a job on its node, as a table.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace conode::job {

enum class State : uint8_t { starting, running, stopping, ended };
enum class Event : uint8_t {
  sandbox_up,
  cluster_ready,
  failed,          // the bring-up cannot succeed
  service_failed,  // one service will not run again
  sandbox_lost,    // the init ended
  node_missing,    // another node did not come, or is lost, and that is not to be survived
  root_lost,       // on another node: rank 0 is gone
  workload_ended,  // the command of `conode exec`
  stop_requested,  // `conode down`, a signal
  cleaned,
};
enum class Action : uint8_t { none, start_services, announce, report, stop, quit };

struct Transition {
  State to;
  Action action;
};

// Empty where the event means nothing in that state.
[[nodiscard]] std::optional<Transition> next(State state, Event event);
[[nodiscard]] std::string_view to_string(State state);

}  // namespace conode::job
