// SPDX-License-Identifier: Apache-2.0
// What carries frames between nodes: sockets in the host's network namespace and their threads. A
// lane is one of several independent sessions between the same two nodes; the frames of one flow
// stay in one lane, so they stay in order (but a carrier may lose, repeat or, UDP, reorder them).
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "netplug/carrier/counters.h"
#include "netplug/carrier/endpoint.h"
#include "netplug/carrier/frame.h"
#include "netplug/carrier/handshake.h"

namespace conode::carrier {

inline constexpr size_t kMaxLanes = 16;

struct CarrierOptions {
  Rank rank = 0;
  uint32_t ranks = 0;  // ranks are below this
  size_t lanes = 1;    // 1 to kMaxLanes; nodes may differ
  std::string secret;
  Endpoint listen;
  Protection protection = Protection::none;
  std::vector<int> cpus;               // where the threads may run; empty: anywhere
  std::chrono::microseconds spin{0};   // EventLoop::set_spin() of the receiving threads
  size_t backlog = size_t{16} << 20U;  // bytes kept for a node that does not take them (TCP)
  size_t datagram = 0;                 // largest UDP payload, bytes; 0: by the path's MTU
  Drops* drops = nullptr;              // outlive the carrier
  std::vector<PeerCounters>* peers = nullptr;  // by rank
};

// Called by the threads of a carrier, of one lane at a time. The frame is the callee's to change
// and gone when the call returns.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual void deliver(size_t lane, Rank from, std::span<uint8_t> frame) = 0;
};

class Carrier {
 public:
  virtual ~Carrier() = default;

  // The port that peers are told.
  [[nodiscard]] virtual uint16_t port() const = 0;
  // A new peer, or a new endpoint of a known one. Never blocks; any thread.
  virtual void set_peer(Rank peer, const Endpoint& endpoint) = 0;
  virtual void remove_peer(Rank peer) = 0;
  // Takes the content of `frame`. Never blocks: what cannot be sent is dropped and counted. Any
  // thread; in order for calls with the same lane from one thread.
  virtual void send(size_t lane, Rank to, FrameBuffer& frame) = 0;
  // Ends all threads; then nothing is delivered any more. Idempotent; not from the sink.
  virtual void stop() = 0;
};

[[nodiscard]] Result<std::unique_ptr<Carrier>> start_tcp(CarrierOptions options, FrameSink& sink);
[[nodiscard]] Result<std::unique_ptr<Carrier>> start_udp(CarrierOptions options, FrameSink& sink);

}  // namespace conode::carrier
