// SPDX-License-Identifier: Apache-2.0
// What an agent dropped, and why. Owned by the bus, written on its loop only.
#pragma once

#include <cstdint>

namespace conode::bus {

struct Counters {
  uint64_t strangers = 0;      // connections that ended in the handshake: no secret, or no ZMTP
  uint64_t garbage = 0;        // not a message of ours
  uint64_t forged = 0;         // the sender is not who the message says
  uint64_t replayed = 0;       // seen before, or far too old
  uint64_t foreign = 0;        // of another session
  uint64_t unexpected = 0;     // of ours, but not in this place or state
  uint64_t bad_datagrams = 0;  // rendezvous: not sealed with our key, or replayed
  uint64_t undelivered = 0;    // no way down to its target (rank 0 sends it again)
};

}  // namespace conode::bus
