// SPDX-License-Identifier: Apache-2.0
// Sequence numbers that were seen from one sender: each is accepted once, and none that is too far
// behind the newest (the sliding window of RFC 6479). A value; any thread.
#pragma once

#include <bitset>
#include <cstdint>

namespace conode::bus {

class ReplayWindow {
 public:
  static constexpr uint64_t kWidth = 1024;

  // True once for each number within kWidth of the newest; 0 is no number.
  [[nodiscard]] bool accept(uint64_t sequence);

 private:
  uint64_t newest_ = 0;
  std::bitset<kWidth> seen_;  // by number modulo kWidth
};

}  // namespace conode::bus
