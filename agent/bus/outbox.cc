// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/outbox.h"

namespace conode::bus {

wire::Report& Outbox::add() {
  dirty_ = true;
  if (!std::exchange(scheduled_, true)) {
    timer_.expires_after(gather_for_);
    timer_.async_wait(
        [this, alive = std::weak_ptr<int>(alive_)](const boost::system::error_code& error) {
          if (error || alive.expired()) return;
          flush();
        });
  }
  return pending_;
}

void Outbox::flush() {
  scheduled_ = false;
  if (!dirty_ || !send_(pending_)) return;
  pending_.Clear();
  dirty_ = false;
}

}  // namespace conode::bus
