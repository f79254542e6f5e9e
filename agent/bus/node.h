// SPDX-License-Identifier: Apache-2.0
// One agent on the bus: wires the way up, the ways down, and what travels on them. Bus is its face.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/bus/bus.h"
#include "agent/bus/child_links.h"
#include "agent/bus/dispatch.h"
#include "agent/bus/file_relay.h"
#include "agent/bus/gathers.h"
#include "agent/bus/identity.h"
#include "agent/bus/outbox.h"
#include "agent/bus/parent_link.h"
#include "agent/bus/rendezvous.h"
#include "agent/bus/replay_window.h"
#include "agent/bus/roster.h"
#include "agent/bus/subtree.h"

namespace conode::bus {

class Node {
 public:
  Node(const boost::asio::any_io_executor& executor, std::shared_ptr<Context> context,
       BusOptions options, std::function<void(const Event&)> on_event);
  Result<void> start();

  Result<void> send_to(Rank rank, const Message& message);
  Result<void> broadcast(const Message& message);
  Result<void> gather(const Message& question, std::chrono::milliseconds timeout,
                      Gathers::Done done);
  Result<uint64_t> send_file(const std::string& name, UniqueFd fd);
  void send_to_root(const Message& message);
  void answer(uint64_t gather, const Answer& answer);
  void report_ready(bool ready);
  void report_trouble(const std::string& text);
  void stop(const std::string& reason);

  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] RankSet in(MemberState state) const { return roster_->in(state); }

 private:
  struct OwnAnswer {
    uint64_t gather;
    Answer answer;
  };

  // node.cc: start, end, time
  [[nodiscard]] bool is_root() const { return options_.rank == kRoot; }
  Result<void> open_children();
  Result<void> open_rendezvous();
  void open_parent();
  void open_files();
  void beat();
  void emit(Event event);
  [[nodiscard]] Result<void> require_root(const char* what) const;

  // node_up.cc: what goes up
  bool send_report(wire::Report& report);
  void on_way_up_open();
  void on_child_attached(Rank child, uint64_t epoch, const std::string& endpoint);
  void on_child_gone(Rank child, uint64_t epoch, ChildState how, const std::string& reason);
  void on_child_message(Rank child, wire::Envelope& envelope, zmq::message_t& bulk);
  void absorb(Rank child, wire::Report& report);
  void readiness_changed();
  void on_file_changed(uint64_t transfer);
  // rank 0's end of it
  void absorb_at_root(const wire::Report& report);
  void on_upward(const wire::Upward& upward);
  void on_member_gone(Rank rank);
  void finish_files();

  // node_down.cc: what goes down
  void on_parent_message(wire::Envelope& envelope, zmq::message_t& bulk);
  void route(const wire::Downward& downward);
  void deliver(const wire::Downward& downward);
  void on_root_lost(const std::string& reason);

  boost::asio::any_io_executor executor_;
  std::shared_ptr<Context> context_;
  const BusOptions options_;
  const Tree tree_;
  std::shared_ptr<std::function<void(const Event&)>> on_event_;  // posted events hold it weakly
  Counters counters_;
  Identity identity_;
  std::string endpoint_;
  bool ended_ = false;

  boost::asio::steady_timer heartbeat_;
  std::unique_ptr<ChildLinks> children_;  // none: a leaf
  std::unique_ptr<ParentLink> parent_;    // none: rank 0
  Subtree subtree_;
  bool readiness_dirty_ = false;
  Outbox outbox_;
  std::unique_ptr<FileRelay> files_;
  ReplayWindow to_me_;
  ReplayWindow to_all_;
  std::deque<OwnAnswer> answers_;  // the latest, for a question that comes again
  uint64_t upward_sequence_ = 0;

  // rank 0
  std::unique_ptr<RendezvousServer> rendezvous_;
  std::unique_ptr<Roster> roster_;
  Dispatch dispatch_;
  Gathers gathers_;
  std::map<Rank, ReplayWindow> upward_seen_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace conode::bus
