// SPDX-License-Identifier: Apache-2.0
// An agent's way up: finds its parent, attaches to it, notices when it is gone, and goes to the
// next ancestor then, rank 0 at last. Its life is the PlaceState table. On the loop of the
// executor.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/bus/identity.h"
#include "agent/bus/links.h"
#include "agent/bus/membership.h"
#include "agent/bus/options.h"
#include "agent/bus/rendezvous.h"
#include "agent/bus/replay_window.h"

namespace conode::bus {

class ParentLink {
 public:
  struct Handlers {
    std::function<void()> connected;            // the Attach is sent; the way up is open
    std::function<void(Rank parent)> attached;  // each time
    std::function<void(wire::Envelope&, zmq::message_t& bulk)> message;
    std::function<void(const std::string& reason)> root_lost;  // once; the link is of no use then
  };

  ParentLink(boost::asio::any_io_executor executor, Context& context, const BusOptions& options,
             Identity& identity, Counters& counters, Handlers handlers);

  // `own_endpoint`: where children connect; empty: there can be none.
  Result<void> start(std::string own_endpoint);
  // Each heartbeat.
  void tick();
  // This agent's loop was late by so much: the silence of that time is its own.
  void forgive(std::chrono::steady_clock::duration late) { last_heard_ += late; }
  // False: the way up is not open. Fills in who and when.
  bool send(wire::Envelope envelope);
  // Says goodbye; the link is of no use afterwards.
  void leave(const std::string& reason);

  [[nodiscard]] PlaceState state() const { return state_; }
  [[nodiscard]] Rank parent() const { return target_.rank(); }
  [[nodiscard]] uint64_t epoch() const { return epoch_; }
  // For one's own children: the parent and those above it, nearest first.
  [[nodiscard]] std::vector<wire::Place> places_above() const;

 private:
  using Clock = std::chrono::steady_clock;

  void handle(PlaceEvent event, const std::string& reason = {});
  void perform(PlaceAction action, const std::string& reason);
  Result<void> ask_for_parent();
  void connect();
  void attach();
  void next_ancestor();
  void drain();
  void on_packet(Packet& packet);
  void on_envelope(wire::Envelope& envelope, zmq::message_t& bulk);
  void end(const std::string& reason);

  boost::asio::any_io_executor executor_;
  Context& context_;
  const BusOptions& options_;
  Tree tree_;
  Identity& identity_;
  Counters& counters_;
  Handlers handlers_;
  std::string own_endpoint_;

  PlaceState state_ = PlaceState::seeking;
  std::unique_ptr<RendezvousClient> rendezvous_;
  std::shared_ptr<Uplink> uplink_;
  wire::Place target_;                // the parent, or who shall be
  std::vector<wire::Place> further_;  // who to try after it, nearest first; rank 0 is the last
  uint64_t epoch_ = 0;
  bool attach_sent_ = false;
  ReplayWindow window_;
  Clock::time_point tried_since_;
  std::chrono::milliseconds try_for_;  // one ancestor; twice as long the next time
  Clock::time_point give_up_at_;
  Clock::time_point last_heard_;
  std::string last_failure_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace conode::bus
