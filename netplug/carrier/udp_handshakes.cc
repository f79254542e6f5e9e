// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/udp_handshakes.h"

#include <algorithm>

namespace conode::carrier {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause{1000};
constexpr milliseconds kKnockRate{200};  // a knock is heeded once in this time

}  // namespace

HandshakeMessage UdpHandshakes::message(Step step) const {
  return {.step = step,
          .lane = lane_,
          .lanes = lanes_,
          .from = own_,
          .to = peer_,
          .dialer = dialer_,
          .listener = listener_};
}

UdpHandshakes::Actions UdpHandshakes::handle(const HandshakeMessage& received,
                                             Clock::time_point now) {
  Actions actions;
  switch (received.step) {
    case Step::knock:
      if (!dials() || phase_ == Phase::confirming || now - knocked_ < kKnockRate) break;
      knocked_ = now;
      if (phase_ == Phase::up) phase_ = Phase::idle;
      pause_ = milliseconds(0);
      next_ = now;
      break;
    case Step::hello:
      if (dials()) break;
      if (phase_ == Phase::idle || received.dialer != dialer_) {
        dialer_ = received.dialer;
        listener_ = random_nonce();
        phase_ = Phase::answered;
      }
      lanes_ = received.lanes;
      if (phase_ == Phase::answered) actions.send = message(Step::answer);
      break;
    case Step::answer:
      if (!dials() || phase_ != Phase::asking || received.dialer != dialer_) break;
      listener_ = received.listener;
      phase_ = Phase::confirming;
      pause_ = milliseconds(0);
      heard_ = now;
      schedule(now, true);
      actions.session = received;
      actions.send = message(Step::confirm);
      break;
    case Step::confirm:
      if (dials() || received.dialer != dialer_ || received.listener != listener_) break;
      actions.keep_alive = phase_ == Phase::answered || phase_ == Phase::up;
      if (phase_ != Phase::answered) break;
      phase_ = Phase::up;
      heard_ = now;
      schedule(now, true);
      actions.session = received;
      break;
  }
  return actions;
}

UdpHandshakes::Actions UdpHandshakes::tick(Clock::time_point now, bool live, bool heard,
                                           size_t lanes) {
  if (dials()) lanes_ = static_cast<uint8_t>(lanes);
  if (heard) {
    heard_ = now;
    if (phase_ == Phase::confirming) phase_ = Phase::up;
  }
  if (now < next_) return {};
  Actions actions;
  if (live && now - heard_ > kSilence) {
    actions.end = true;
    live = false;
  }
  if (!live && (phase_ == Phase::up || phase_ == Phase::confirming)) {
    phase_ = Phase::idle;
    pause_ = milliseconds(0);
  }
  const Actions repeated = repeat(live);
  actions.send = repeated.send;
  actions.keep_alive = repeated.keep_alive;
  schedule(now, live);
  return actions;
}

UdpHandshakes::Actions UdpHandshakes::repeat(bool live) {
  Actions actions;
  actions.keep_alive = live;
  if (dials()) {
    if (phase_ == Phase::idle) {
      dialer_ = random_nonce();
      phase_ = Phase::asking;
    }
    if (phase_ == Phase::asking) actions.send = message(Step::hello);
    if (phase_ == Phase::confirming) actions.send = message(Step::confirm);
    return actions;
  }
  if (!live && lane_ == 0) actions.send = message(Step::knock);
  return actions;
}

void UdpHandshakes::schedule(Clock::time_point now, bool live) {
  if (live && (phase_ == Phase::up || (!dials() && phase_ == Phase::answered))) {
    next_ = now + kKeepAlive;
    return;
  }
  pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
  next_ = now + pause_;
}

}  // namespace conode::carrier
