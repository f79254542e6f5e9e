// SPDX-License-Identifier: Apache-2.0
// What a relay counts. Written by its threads without order between them, read by anybody.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace conode::carrier {

// Why a frame, a datagram or a message was not passed on.
enum class Drop : uint8_t {
  no_route,    // from a pod: the destination is no node's of the job
  no_peer,     // from a pod: no session with that node (yet)
  backlog,     // from a pod: that node takes less than is sent to it
  malformed,   // no IP packet, or one that contradicts its header
  source,      // from a peer: its address is not one of that peer's
  stranger,    // from outside of the job: not authentic
  stale,       // of a session that is over, a repetition, or far too late
  incomplete,  // UDP: a part of the frame was lost
  device,      // the TUN did not take it
};
inline constexpr std::array<std::string_view, 9> kDropNames{"no_route",  "no_peer",    "backlog",
                                                            "malformed", "source",     "stranger",
                                                            "stale",     "incomplete", "device"};

struct PeerCounters {
  std::atomic<uint64_t> sent_frames{0};
  std::atomic<uint64_t> sent_bytes{0};
  std::atomic<uint64_t> received_frames{0};
  std::atomic<uint64_t> received_bytes{0};
  std::atomic<uint64_t> dropped{0};   // to this peer: no_peer and backlog
  std::atomic<uint64_t> sessions{0};  // made so far: grows by one a lane with each restart
};

inline void add(std::atomic<uint64_t>& counter, uint64_t n = 1) {
  counter.fetch_add(n, std::memory_order_relaxed);
}

class Drops {
 public:
  void count(Drop cause, uint64_t n = 1) { add(counts_[static_cast<size_t>(cause)], n); }
  [[nodiscard]] std::array<uint64_t, kDropNames.size()> read() const {
    std::array<uint64_t, kDropNames.size()> now{};
    for (size_t i = 0; i < now.size(); ++i) now[i] = counts_[i].load(std::memory_order_relaxed);
    return now;
  }

 private:
  std::array<std::atomic<uint64_t>, kDropNames.size()> counts_{};
};

}  // namespace conode::carrier
