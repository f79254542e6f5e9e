// SPDX-License-Identifier: Apache-2.0
// How TCP carriers come to be: listens, dials peers of lower rank (again and again, with growing
// pauses), does the handshakes, and hands over connections. One thread; the public calls are for
// any thread.
#pragma once

#include <list>
#include <map>
#include <mutex>

#include "netplug/carrier/carrier.h"
#include "netplug/carrier/event_loop.h"

namespace conode::carrier {

struct Established {
  UniqueFd socket;
  Rank peer = 0;
  size_t lane = 0;
  size_t lanes = 0;  // how many the dialer makes
  SessionKeys keys;
};

class TcpControl {
 public:
  using Handler = std::function<void(Established)>;  // called by the control thread

  [[nodiscard]] static Result<std::unique_ptr<TcpControl>> create(const CarrierOptions& options,
                                                                  Handshake handshake,
                                                                  Handler handler);
  [[nodiscard]] Result<void> start();
  void stop() { loop_->stop(); }

  [[nodiscard]] uint16_t port() const { return port_; }
  void set_peer(Rank peer, const Endpoint& endpoint);
  void remove_peer(Rank peer);
  // A connection that came from here has ended: dial again if that is our part.
  void lost(Rank peer, size_t lane);

 private:
  using Clock = std::chrono::steady_clock;

  // A connection before the end of its handshake.
  struct Pending {
    UniqueFd socket;
    bool dialer = false;
    bool connecting = false;
    HandshakeMessage expected;  // listener's after the answer, dialer's from the start
    bool answered = false;      // listener: the next message is the confirmation
    Clock::time_point deadline;
    std::array<uint8_t, kHandshakeSize> message{};
    size_t have = 0;
    bool over = false;
  };
  // One lane that we have to dial.
  struct Dial {
    Endpoint endpoint;
    bool busy = false;  // being dialed, or up
    Clock::time_point next;
    Clock::time_point since;  // of the last connection
    std::chrono::milliseconds pause{0};
  };
  using DialKey = std::pair<Rank, size_t>;

  TcpControl(const CarrierOptions& options, Handshake handshake, Handler handler)
      : options_(options), handshake_(std::move(handshake)), handler_(std::move(handler)) {}

  std::chrono::milliseconds step(std::span<const epoll_event> events);
  void take_orders();
  void accept_all();
  void dial_due(Clock::time_point now);
  [[nodiscard]] Result<void> dial(const DialKey& key, const Dial& dial);
  void serve(Pending& pending, uint32_t events);
  [[nodiscard]] bool connected(Pending& pending);
  [[nodiscard]] bool read_message(Pending& pending);
  [[nodiscard]] bool handle(Pending& pending, const HandshakeMessage& message);
  [[nodiscard]] bool accept_hello(Pending& pending, const HandshakeMessage& message);
  [[nodiscard]] bool send_message(const Pending& pending, const HandshakeMessage& message) const;
  [[nodiscard]] bool finish(Pending& pending, const HandshakeMessage& message);
  void fail(Pending& pending, bool stranger);
  void redial(const DialKey& key);
  [[nodiscard]] std::chrono::milliseconds next_timeout() const;

  CarrierOptions options_;
  Handshake handshake_;
  Handler handler_;
  std::unique_ptr<EventLoop> loop_;
  UniqueFd listener_;
  uint16_t port_ = 0;

  std::mutex mutex_;
  std::vector<std::function<void()>> orders_;  // with mutex_: for the control thread

  std::list<Pending> pending_;
  std::map<DialKey, Dial> dials_;
};

}  // namespace conode::carrier
