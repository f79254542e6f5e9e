// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/replay_window.h"

namespace conode::bus {

bool ReplayWindow::accept(uint64_t sequence) {
  if (sequence == 0) return false;
  if (sequence > newest_) {
    if (sequence - newest_ >= kWidth) {
      seen_.reset();
    } else {
      for (uint64_t skipped = newest_ + 1; skipped < sequence; ++skipped)
        seen_.reset(skipped % kWidth);
    }
    newest_ = sequence;
    seen_.set(sequence % kWidth);
    return true;
  }
  if (newest_ - sequence >= kWidth || seen_.test(sequence % kWidth)) return false;
  seen_.set(sequence % kWidth);
  return true;
}

}  // namespace conode::bus
