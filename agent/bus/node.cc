// SPDX-License-Identifier: Apache-2.0
// Theory of operation: going down, messages are rank 0's and pass from hop to hop until they reach
// their target (dispatch.h keeps them until they have). Going up, everything is news or state of a
// subtree and is gathered at each hop (outbox.h, subtree.h). Only neighbours talk to each other, so
// a rank's neighbours are all that it must watch.
#include "agent/bus/node.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>

#include "agent/bus/codec.h"

namespace conode::bus {

namespace asio = boost::asio;
using wire::Envelope;

namespace {

constexpr int kBindAttempts = 16;  // TCP gets a port whose number is taken for UDP

std::chrono::milliseconds keep_broadcasts_for(const Timing& timing) {
  return 3 * timing.dead_after;
}

}  // namespace

Node::Node(const asio::any_io_executor& executor, std::shared_ptr<Context> context,
           BusOptions options, std::function<void(const Event&)> on_event)
    : executor_(executor),
      context_(std::move(context)),
      options_(std::move(options)),
      tree_(options_.size, options_.arity),
      on_event_(std::make_shared<std::function<void(const Event&)>>(std::move(on_event))),
      identity_(options_.rank, options_.rank == kRoot ? random_number() : 0),
      heartbeat_(executor),
      subtree_(options_.rank, options_.size),
      outbox_(executor, options_.timing.gather_for,
              [this](wire::Report& report) { return send_report(report); }),
      dispatch_(keep_broadcasts_for(options_.timing)),
      gathers_(executor) {}

Result<void> Node::start() {
  open_files();
  if (is_root()) {
    roster_ = std::make_unique<Roster>(
        options_.size, options_.timing,
        Roster::Handlers{
            .joined =
                [this](Rank rank, const Hello& hello) {
                  emit(Joined{rank, hello});
                },
            .lost =
                [this](Rank rank, const std::string& reason) {
                  on_member_gone(rank);
                  emit(Lost{rank, reason});
                },
            .left =
                [this](Rank rank, const std::string& reason) {
                  on_member_gone(rank);
                  emit(Left{rank, reason});
                },
            .send_again =
                [this](Rank rank) {
                  for (const wire::Downward& downward : dispatch_.again(rank)) route(downward);
                },
            .hello_wanted = [this](Rank rank) { route(dispatch_.ask_for_hello(rank)); }});
    TRY(open_rendezvous());
  } else {
    if (tree_.has_children(options_.rank)) TRY(open_children());
    open_parent();
    TRY(parent_->start(endpoint_));
  }
  beat();
  return {};
}

Result<void> Node::open_children() {
  children_ = TRY(ChildLinks::open(
      executor_, *context_, options_, identity_, counters_,
      {.attached = [this](Rank child, uint64_t epoch,
                          const std::string& at) { on_child_attached(child, epoch, at); },
       .gone = [this](Rank child, uint64_t epoch, ChildState how,
                      const std::string& why) { on_child_gone(child, epoch, how, why); },
       .message = [this](Rank child, Envelope& envelope,
                         zmq::message_t& bulk) { on_child_message(child, envelope, bulk); },
       .places =
           [this] { return parent_ ? parent_->places_above() : std::vector<wire::Place>(); }}));
  endpoint_ = children_->endpoint();
  return {};
}

// TCP's port is the kernel's choice; the rendezvous has the same number for UDP.
Result<void> Node::open_rendezvous() {
  Result<void> opened;
  for (int attempt = 0; attempt < kBindAttempts; ++attempt) {
    TRY(open_children());
    Result<std::unique_ptr<RendezvousServer>> server =
        RendezvousServer::open(executor_,
                               {.tree = tree_,
                                .key = context_->rendezvous_key(),
                                .session = identity_.session(),
                                .root_endpoint = endpoint_,
                                .adopt_after = options_.timing.adopt_after},
                               counters_);
    if (server) {
      rendezvous_ = std::move(*server);
      return {};
    }
    if (!server.error().is(std::errc::address_in_use))
      return tl::make_unexpected(std::move(server).error());
    opened = tl::make_unexpected(std::move(server).error());
  }
  return opened;
}

void Node::open_parent() {
  parent_ = std::make_unique<ParentLink>(
      executor_, *context_, options_, identity_, counters_,
      ParentLink::Handlers{
          .connected = [this] { on_way_up_open(); },
          .attached =
              [this](Rank parent) {
                if (children_) children_->tell_places();
                emit(Attached{parent});
              },
          .message = [this](Envelope& envelope,
                            zmq::message_t& bulk) { on_parent_message(envelope, bulk); },
          .root_lost = [this](const std::string& reason) { on_root_lost(reason); }});
}

void Node::open_files() {
  files_ = std::make_unique<FileRelay>(
      options_.rank, options_.size, options_.file_dir, counters_,
      FileRelay::Handlers{
          .send_up = [this](Envelope envelope) { return parent_->send(std::move(envelope)); },
          .send_down =
              [this](Rank child, Envelope envelope, zmq::message_t bulk) {
                return children_->send(child, std::move(envelope), std::move(bulk));
              },
          .children = [this] { return children_ ? children_->ranks() : std::vector<Rank>(); },
          .received = [this](const ReceivedFile& file) { emit(FileReceived{file}); },
          .changed = [this](uint64_t transfer) { on_file_changed(transfer); }});
}

void Node::beat() {
  heartbeat_.expires_after(options_.timing.heartbeat);
  heartbeat_.async_wait(
      [this, alive = std::weak_ptr<int>(alive_)](const boost::system::error_code& error) {
        if (error || alive.expired() || ended_) return;
        const auto now = std::chrono::steady_clock::now();
        const auto late = now - heartbeat_.expiry();
        if (children_) {
          children_->forgive(late);
          children_->tick();
        }
        if (roster_) roster_->tick(now);
        if (parent_) {
          parent_->forgive(late);
          parent_->tick();
        }
        if (!ended_) beat();
      });
}

void Node::emit(Event event) {
  asio::post(executor_, [held = std::weak_ptr(on_event_), event = std::move(event)] {
    if (const auto handler = held.lock()) (*handler)(event);
  });
}

void Node::stop(const std::string& reason) {
  if (std::exchange(ended_, true)) return;
  on_event_.reset();
  heartbeat_.cancel();
  outbox_.flush();
  if (children_) {
    Envelope envelope;
    if (is_root())
      envelope.mutable_root_lost()->set_reason(reason);
    else
      envelope.mutable_goodbye()->set_reason(reason);
    children_->send_all(envelope);
  }
  if (parent_) parent_->leave(reason);
}

Result<void> Node::require_root(const char* what) const {
  if (ended_) return failure(fmt::format("{}: the bus has ended", what));
  if (!is_root())
    return failure(fmt::format("{}: only rank 0 can, this is {}", what, options_.rank));
  return {};
}

}  // namespace conode::bus
