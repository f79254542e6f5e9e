// SPDX-License-Identifier: Apache-2.0
// The handshakes of one lane to one peer over UDP: what to answer, what to repeat, and when the
// other side has gone. Messages and time in, actions out; no sockets. One thread at a time, by a
// lock of the caller's.
//
// dialer:    idle -hello-> asking -answer-> confirming -anything authentic-> up
// listener:  idle -hello-> answered -confirm-> up
// A knock, or silence, sends the dialer back to asking; its session stays until the next one is up.
#pragma once

#include <chrono>
#include <optional>

#include "netplug/carrier/handshake.h"

namespace conode::carrier {

class UdpHandshakes {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kKeepAlive{1000};
  static constexpr std::chrono::milliseconds kSilence{4000};  // then the peer is gone

  UdpHandshakes(Rank own, Rank peer, uint8_t lane) : own_(own), peer_(peer), lane_(lane) {}

  struct Actions {
    std::optional<HandshakeMessage> send;     // to the sender of the message, or to the endpoint
    std::optional<HandshakeMessage> session;  // begin one, with the keys of this message
    bool keep_alive = false;
    bool end = false;  // the session is dead
  };
  // An authentic message from this peer, for this lane.
  [[nodiscard]] Actions handle(const HandshakeMessage& message, Clock::time_point now);
  // `heard`: something authentic came in the session since the last call; `lanes`: that we dial.
  [[nodiscard]] Actions tick(Clock::time_point now, bool live, bool heard, size_t lanes);
  // When tick() wants to be called again, at the latest.
  [[nodiscard]] Clock::time_point next() const { return next_; }

 private:
  [[nodiscard]] bool dials() const { return own_ > peer_; }
  [[nodiscard]] HandshakeMessage message(Step step) const;
  [[nodiscard]] Actions repeat(bool live);
  void schedule(Clock::time_point now, bool live);

  Rank own_;
  Rank peer_;
  uint8_t lane_;
  uint8_t lanes_ = 1;
  Nonce dialer_{};
  Nonce listener_{};
  enum class Phase { idle, asking, answered, confirming, up } phase_ = Phase::idle;
  std::chrono::milliseconds pause_{0};
  Clock::time_point next_{};
  Clock::time_point heard_{};
  Clock::time_point knocked_{};
};

}  // namespace conode::carrier
