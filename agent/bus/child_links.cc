// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/child_links.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>

#include "agent/bus/codec.h"

namespace conode::bus {

namespace asio = boost::asio;
using wire::Envelope;

ChildLinks::ChildLinks(asio::any_io_executor executor, const BusOptions& options,
                       Identity& identity, Counters& counters, Handlers handlers)
    : executor_(std::move(executor)),
      options_(options),
      tree_(options.size, options.arity),
      identity_(identity),
      counters_(counters),
      handlers_(std::move(handlers)) {}

Result<std::unique_ptr<ChildLinks>> ChildLinks::open(const asio::any_io_executor& executor,
                                                     Context& context, const BusOptions& options,
                                                     Identity& identity, Counters& counters,
                                                     Handlers handlers) {
  std::unique_ptr<ChildLinks> links(
      new ChildLinks(executor, options, identity, counters, std::move(handlers)));
  // Their keys before they knock: the gate then finds them at once.
  for (const Rank child : links->tree_.children(options.rank)) (void)context.keys().client(child);
  links->downlink_ =
      TRY(Downlink::bind(executor, context, options.bind_address, options.timing.dead_after,
                         counters, [raw = links.get()] { raw->drain(); }));
  return links;
}

void ChildLinks::tick() {
  tell_places();
  const auto now = Clock::now();
  for (const auto& [rank, child] : children_)
    if (child.state == ChildState::attached && now - child.last_heard > options_.timing.dead_after)
      lose_soon(rank, child.epoch);
}

void ChildLinks::tell_places() {
  Envelope heartbeat;
  const std::vector<wire::Place> places = handlers_.places();
  heartbeat.mutable_heartbeat()->mutable_ancestors()->Assign(places.begin(), places.end());
  send_all(heartbeat);
}

void ChildLinks::forgive(std::chrono::steady_clock::duration late) {
  for (auto& [rank, child] : children_) child.last_heard += late;
}

bool ChildLinks::send(Rank rank, Envelope envelope, zmq::message_t bulk) {
  const auto child = children_.find(rank);
  if (child == children_.end() || child->second.state != ChildState::attached) return false;
  const uint64_t epoch = child->second.epoch;
  if (downlink_->send(rank, epoch, identity_.encode(envelope), std::move(bulk))) return true;
  lose_soon(rank, epoch);
  return false;
}

void ChildLinks::send_all(const Envelope& envelope) {
  for (const auto& [rank, child] : children_)
    if (child.state == ChildState::attached) (void)send(rank, envelope);
}

// Not at once: the caller may be in the middle of a walk over the children.
void ChildLinks::lose_soon(Rank rank, uint64_t epoch) {
  asio::post(executor_, [this, rank, epoch, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    Child& child = children_[rank];
    if (child.epoch != epoch) return;  // it has attached again
    const bool silent = Clock::now() - child.last_heard > options_.timing.dead_after;
    handle(child, rank, silent ? ChildEvent::silent : ChildEvent::unreachable,
           silent ? fmt::format("silent for {} ms", options_.timing.dead_after.count())
                  : "connection lost");
  });
}

bool ChildLinks::attached(Rank rank) const {
  const auto child = children_.find(rank);
  return child != children_.end() && child->second.state == ChildState::attached;
}

std::vector<Rank> ChildLinks::ranks() const {
  std::vector<Rank> ranks;
  for (const auto& [rank, child] : children_)
    if (child.state == ChildState::attached) ranks.push_back(rank);
  return ranks;
}

std::optional<Rank> ChildLinks::towards(Rank rank) const {
  while (rank > options_.rank) {
    if (attached(rank)) return rank;
    rank = tree_.parent(rank);
  }
  return std::nullopt;
}

void ChildLinks::drain() {
  constexpr int kAtOnce = 64;  // then others have their turn
  const std::weak_ptr<int> alive = alive_;
  for (int i = 0; !alive.expired(); ++i) {
    if (i == kAtOnce) return downlink_->recheck();
    std::optional<Packet> packet = downlink_->receive();
    if (!packet) return;
    on_packet(*packet);
  }
}

void ChildLinks::on_packet(Packet& packet) {
  std::optional<Envelope> envelope =
      decode_envelope(packet.envelope.to_string_view(), options_.size);
  if (!envelope) {
    ++counters_.garbage;
    return;
  }
  if (envelope->origin() != packet.from) {
    ++counters_.forged;
    return;
  }
  // 0: of a child that has not been welcomed yet.
  if (identity_.session() == 0) identity_.learn_session(envelope->session());
  if (envelope->session() != 0 && envelope->session() != identity_.session()) {
    ++counters_.foreign;
    return;
  }
  Child& child = children_[packet.from];
  if (!child.window.accept(envelope->sequence())) {
    ++counters_.replayed;
    return;
  }
  if (envelope->has_attach()) return on_attach(packet, *envelope);
  if (child.state != ChildState::attached || child.epoch != packet.epoch) {
    ++counters_.unexpected;
    return;
  }
  child.last_heard = Clock::now();
  on_envelope(child, packet.from, *envelope, packet.bulk);
}

void ChildLinks::on_attach(const Packet& packet, const Envelope& envelope) {
  Child& child = children_[packet.from];
  if (!tree_.is_ancestor(options_.rank, packet.from)) {
    Envelope refusal;
    refusal.mutable_refusal()->set_reason(
        fmt::format("rank {} is no ancestor of rank {}", options_.rank, packet.from));
    (void)downlink_->send(packet.from, packet.epoch, identity_.encode(refusal));
    return;
  }
  if (envelope.attach().epoch() != packet.epoch || packet.epoch <= child.epoch) {
    ++counters_.unexpected;
    return;
  }
  child.epoch = packet.epoch;
  child.last_heard = Clock::now();
  handle(child, packet.from, ChildEvent::attach, envelope.attach().endpoint());
}

void ChildLinks::handle(Child& child, Rank rank, ChildEvent event, const std::string& text) {
  const auto transition = next(child.state, event);
  if (!transition) return;
  child.state = transition->to;
  switch (transition->action) {
    case ChildAction::none:
      return;
    case ChildAction::welcome: {
      Envelope welcome;
      const std::vector<wire::Place> places = handlers_.places();
      welcome.mutable_welcome()->mutable_ancestors()->Assign(places.begin(), places.end());
      if (send(rank, std::move(welcome))) handlers_.attached(rank, child.epoch, text);
      return;
    }
    case ChildAction::report_lost:
    case ChildAction::report_left:
      return handlers_.gone(rank, child.epoch, child.state, text);
  }
}

void ChildLinks::on_envelope(Child& child, Rank rank, Envelope& envelope, zmq::message_t& bulk) {
  if (envelope.has_goodbye())
    return handle(child, rank, ChildEvent::goodbye, envelope.goodbye().reason());
  if (!envelope.has_heartbeat()) handlers_.message(rank, envelope, bulk);
}

}  // namespace conode::bus
