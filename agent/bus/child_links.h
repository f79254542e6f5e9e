// SPDX-License-Identifier: Apache-2.0
// An agent's ways down: who is attached below it, who of them is gone, which of them leads to a
// rank. Each child's life is the ChildState table. On the loop of the executor.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/bus/identity.h"
#include "agent/bus/links.h"
#include "agent/bus/membership.h"
#include "agent/bus/options.h"
#include "agent/bus/replay_window.h"

namespace conode::bus {

class ChildLinks {
 public:
  struct Handlers {
    std::function<void(Rank child, uint64_t epoch, const std::string& endpoint)> attached;
    std::function<void(Rank child, uint64_t epoch, ChildState how, const std::string& reason)> gone;
    std::function<void(Rank child, wire::Envelope&, zmq::message_t& bulk)> message;
    std::function<std::vector<wire::Place>()> places;  // above this agent, nearest first
  };

  [[nodiscard]] static Result<std::unique_ptr<ChildLinks>> open(
      const boost::asio::any_io_executor& executor, Context& context, const BusOptions& options,
      Identity& identity, Counters& counters, Handlers handlers);

  [[nodiscard]] const std::string& endpoint() const { return downlink_->endpoint(); }
  // Each heartbeat.
  void tick();
  // Tells the children who is above this agent: it has a new parent.
  void tell_places();
  // This agent's loop was late by so much: the silence of that time is its own.
  void forgive(std::chrono::steady_clock::duration late);
  // False: no such child is attached (any more: it is reported as gone soon).
  bool send(Rank child, wire::Envelope envelope, zmq::message_t bulk = {});
  void send_all(const wire::Envelope& envelope);

  [[nodiscard]] bool attached(Rank child) const;
  [[nodiscard]] std::vector<Rank> ranks() const;
  // The attached child that is `rank` or an ancestor of it.
  [[nodiscard]] std::optional<Rank> towards(Rank rank) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Child {
    ChildState state = ChildState::absent;
    uint64_t epoch = 0;
    Clock::time_point last_heard;
    ReplayWindow window;
  };

  ChildLinks(boost::asio::any_io_executor executor, const BusOptions& options, Identity& identity,
             Counters& counters, Handlers handlers);
  void drain();
  void on_packet(Packet& packet);
  void on_attach(const Packet& packet, const wire::Envelope& envelope);
  void on_envelope(Child& child, Rank rank, wire::Envelope& envelope, zmq::message_t& bulk);
  void handle(Child& child, Rank rank, ChildEvent event, const std::string& reason);
  void lose_soon(Rank rank, uint64_t epoch);

  boost::asio::any_io_executor executor_;
  const BusOptions& options_;
  Tree tree_;
  Identity& identity_;
  Counters& counters_;
  Handlers handlers_;
  std::map<Rank, Child> children_;
  std::unique_ptr<Downlink> downlink_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace conode::bus
