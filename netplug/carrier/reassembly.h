// SPDX-License-Identifier: Apache-2.0
// Chunks of one session back into frames, whatever their order; each chunk counts once. A frame
// that is still incomplete when the one kWindow frames later begins is given up. No input or
// output; one thread.
#pragma once

#include <array>
#include <bitset>

#include "netplug/carrier/datagram.h"

namespace conode::carrier {

class Reassembly {
 public:
  static constexpr size_t kWindow = 64;  // frames

  enum class State { complete, waiting, stale };
  struct Outcome {
    State state = State::waiting;
    std::span<uint8_t> frame;  // complete: valid until the next call
    bool gave_up = false;      // another frame was given up for this one
  };
  // `header` was decoded from the datagram that `payload` is in.
  [[nodiscard]] Outcome add(const DatagramHeader& header, std::span<uint8_t> payload);

 private:
  struct Slot {
    uint64_t frame = 0;  // the latest that fell into this slot
    uint32_t length = 0;
    uint16_t chunk_size = 0;
    bool done = true;
    size_t missing = 0;
    std::bitset<kMaxChunks> have;
    std::unique_ptr<uint8_t[]> bytes;
  };
  [[nodiscard]] Outcome begin(Slot& slot, const DatagramHeader& header, std::span<uint8_t> payload);
  [[nodiscard]] Outcome join(Slot& slot, const DatagramHeader& header, std::span<uint8_t> payload);
  void release(Slot& slot);

  std::array<Slot, kWindow> slots_;
  std::vector<std::unique_ptr<uint8_t[]>> spare_;
  std::unique_ptr<uint8_t[]> delivered_;  // what the last call gave out
};

}  // namespace conode::carrier
