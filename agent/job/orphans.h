// SPDX-License-Identifier: Apache-2.0
// Where there is no cgroup, what the command of `conode exec` leaves running (daemons, whatever
// they did to their environment) becomes the agent's child, and so can be found and ended. On the
// thread that calls adopt(), which makes the agent the "subreaper" of its descendants (prctl(2)).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "agent/base/result.h"

namespace conode::job {

class Orphans {
 public:
  // Children that start from here on and are not OwnChildren are orphans.
  [[nodiscard]] Result<void> adopt();
  // Those that have ended; on SIGCHLD.
  void reap() const;
  // SIGTERM, after `grace` SIGKILL, until there are none.
  void end(std::chrono::milliseconds grace) const;

 private:
  [[nodiscard]] std::vector<pid_t> in_state(bool ended) const;

  uint64_t since_ = UINT64_MAX;  // start time, in clock ticks since boot
};

}  // namespace conode::job
