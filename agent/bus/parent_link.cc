// SPDX-License-Identifier: Apache-2.0
// Theory of operation: libzmq reconnects by itself and hides it. With ZMQ_IMMEDIATE a send fails as
// soon as the connection is gone, so that each heartbeat is a probe; a parent that hangs is noticed
// by its silence. Whatever the reason, the socket is closed and a new one, with a new epoch, is
// opened to the next ancestor. Rank 0 is the last in the list and is tried until time is up.
#include "agent/bus/parent_link.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>

#include "agent/bus/codec.h"

namespace conode::bus {

namespace asio = boost::asio;
using wire::Envelope;

namespace {

wire::Place place_of(Rank rank, const std::string& endpoint) {
  wire::Place place;
  place.set_rank(rank);
  place.set_endpoint(endpoint);
  return place;
}

}  // namespace

ParentLink::ParentLink(asio::any_io_executor executor, Context& context, const BusOptions& options,
                       Identity& identity, Counters& counters, Handlers handlers)
    : executor_(std::move(executor)),
      context_(context),
      options_(options),
      tree_(options.size, options.arity),
      identity_(identity),
      counters_(counters),
      handlers_(std::move(handlers)) {}

Result<void> ParentLink::start(std::string own_endpoint) {
  own_endpoint_ = std::move(own_endpoint);
  give_up_at_ = Clock::now() + options_.timing.attach_within;
  // Long: thousands of agents shake hands at the same time, and who turns away too early begins
  // anew.
  try_for_ = 4 * options_.timing.dead_after;
  if (!is_endpoint(options_.root_endpoint))
    return failure(fmt::format("rank 0's endpoint '{}' is none like 'tcp://10.0.0.1:4711'",
                               options_.root_endpoint));
  const wire::Place root = place_of(kRoot, options_.root_endpoint);
  const bool below_root = tree_.parent(options_.rank) == kRoot;
  // An inner node below rank 0 asks only to say where it listens.
  if (!below_root || !own_endpoint_.empty()) TRY(ask_for_parent());
  if (below_root) {
    target_ = root;
    asio::post(executor_, [this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) handle(PlaceEvent::parent_found);
    });
  }
  return {};
}

Result<void> ParentLink::ask_for_parent() {
  const auto told = [this](const wire::Told* answer) {
    const std::unique_ptr<RendezvousClient> done = std::move(rendezvous_);
    const wire::Place root = place_of(kRoot, options_.root_endpoint);
    if (answer != nullptr && identity_.session() == 0) identity_.learn_session(answer->session());
    if (state_ != PlaceState::seeking) return;
    target_ = answer != nullptr && tree_.is_ancestor(answer->parent().rank(), options_.rank)
                  ? answer->parent()
                  : root;
    handle(PlaceEvent::parent_found);
  };
  rendezvous_ = TRY(RendezvousClient::ask(executor_,
                                          {.rank = options_.rank,
                                           .size = options_.size,
                                           .key = context_.rendezvous_key(),
                                           .root_endpoint = options_.root_endpoint,
                                           .own_endpoint = own_endpoint_,
                                           .patience = 2 * options_.timing.adopt_after},
                                          counters_, told));
  return {};
}

void ParentLink::handle(PlaceEvent event, const std::string& reason) {
  const auto transition = next(state_, event);
  if (!transition) return;
  state_ = transition->to;
  perform(transition->action, reason);
}

void ParentLink::perform(PlaceAction action, const std::string& reason) {
  switch (action) {
    case PlaceAction::none:
      return;
    case PlaceAction::connect:
      return connect();
    case PlaceAction::announce_attached:
      return handlers_.attached(target_.rank());
    case PlaceAction::try_next_ancestor:
      last_failure_ = reason;
      return next_ancestor();
    case PlaceAction::announce_root_lost:
      return end(reason);
    case PlaceAction::say_goodbye: {
      Envelope envelope;
      envelope.mutable_goodbye()->set_reason(reason);
      (void)send(std::move(envelope));
      uplink_.reset();
      return;
    }
  }
}

void ParentLink::connect() {
  attach_sent_ = false;
  window_ = {};
  epoch_ = stamp_after(epoch_);
  tried_since_ = Clock::now();
  Result<std::shared_ptr<Uplink>> uplink =
      Uplink::connect(executor_, context_, options_.rank, epoch_, target_.endpoint(),
                      options_.timing.dead_after, [this] { drain(); });
  if (uplink)
    uplink_ = std::move(*uplink);
  else
    last_failure_ = uplink.error().message();  // the next tick tries further up
}

void ParentLink::attach() {
  attach_sent_ = true;
  last_heard_ = Clock::now();
  Envelope envelope;
  envelope.mutable_attach()->set_epoch(epoch_);
  envelope.mutable_attach()->set_endpoint(own_endpoint_);
  if (send(std::move(envelope))) handlers_.connected();
}

void ParentLink::next_ancestor() {
  if (give_up_at_ < Clock::now()) {  // attached until now: time begins anew
    try_for_ = options_.timing.dead_after / 2;
    const auto candidates = static_cast<int>(further_.size()) + 1;
    give_up_at_ = Clock::now() + candidates * options_.timing.dead_after;
  } else {
    try_for_ *= 2;
  }
  uplink_.reset();
  if (target_.rank() != kRoot) {
    if (further_.empty()) further_.push_back(place_of(kRoot, options_.root_endpoint));
    target_ = further_.front();
    further_.erase(further_.begin());
  }
  connect();
}

void ParentLink::tick() {
  const auto now = Clock::now();
  if (state_ == PlaceState::attached) {
    Envelope envelope;
    envelope.mutable_heartbeat();
    if (!send(std::move(envelope))) {
      give_up_at_ = {};
      return handle(PlaceEvent::parent_failed, "connection lost");
    }
    if (now - last_heard_ <= options_.timing.dead_after) return;
    give_up_at_ = {};
    return handle(PlaceEvent::parent_failed,
                  fmt::format("silent for {} ms", options_.timing.dead_after.count()));
  }
  if (now > give_up_at_)
    return handle(PlaceEvent::gave_up,
                  fmt::format("rank 0 at '{}' cannot be reached{}{}", options_.root_endpoint,
                              last_failure_.empty() ? "" : ": ", last_failure_));
  if (state_ == PlaceState::attaching && now - tried_since_ > try_for_)
    handle(PlaceEvent::parent_failed,
           fmt::format("rank {} at '{}' does not answer", target_.rank(), target_.endpoint()));
}

bool ParentLink::send(Envelope envelope) {
  if (!uplink_ || !attach_sent_) return false;
  return uplink_->send(identity_.encode(envelope));
}

void ParentLink::leave(const std::string& reason) {
  rendezvous_.reset();
  handle(PlaceEvent::stopped, reason);
}

void ParentLink::end(const std::string& reason) {
  uplink_.reset();
  rendezvous_.reset();
  handlers_.root_lost(reason);
}

void ParentLink::drain() {
  constexpr int kAtOnce = 64;  // then others have their turn
  const std::shared_ptr<Uplink> uplink = uplink_;
  if (!attach_sent_ && uplink->connected()) attach();
  for (int i = 0; uplink == uplink_; ++i) {
    if (i == kAtOnce) return uplink->recheck();
    std::optional<Packet> packet = uplink->receive();
    if (!packet) return;
    on_packet(*packet);
  }
}

void ParentLink::on_packet(Packet& packet) {
  std::optional<Envelope> envelope =
      decode_envelope(packet.envelope.to_string_view(), options_.size);
  if (!envelope) {
    ++counters_.garbage;
  } else if (envelope->origin() != target_.rank()) {
    ++counters_.forged;
  } else if (identity_.session() != 0 && envelope->session() != identity_.session()) {
    ++counters_.foreign;
  } else if (!window_.accept(envelope->sequence())) {
    ++counters_.replayed;
  } else {
    if (identity_.session() == 0) identity_.learn_session(envelope->session());
    last_heard_ = Clock::now();
    on_envelope(*envelope, packet.bulk);
  }
}

void ParentLink::on_envelope(Envelope& envelope, zmq::message_t& bulk) {
  switch (envelope.body_case()) {
    case Envelope::kWelcome:
      further_.assign(envelope.welcome().ancestors().begin(), envelope.welcome().ancestors().end());
      return handle(PlaceEvent::accepted);
    case Envelope::kHeartbeat:
      further_.assign(envelope.heartbeat().ancestors().begin(),
                      envelope.heartbeat().ancestors().end());
      return;
    case Envelope::kRefusal:
      if (target_.rank() == kRoot) return handle(PlaceEvent::gave_up, envelope.refusal().reason());
      return handle(PlaceEvent::parent_failed, envelope.refusal().reason());
    case Envelope::kGoodbye:
      give_up_at_ = {};
      return handle(PlaceEvent::parent_failed, envelope.goodbye().reason());
    case Envelope::kRootLost:
      return handle(PlaceEvent::root_lost_told, envelope.root_lost().reason());
    default:
      return handlers_.message(envelope, bulk);
  }
}

std::vector<wire::Place> ParentLink::places_above() const {
  if (state_ != PlaceState::attached) return {};
  std::vector<wire::Place> places{target_};
  places.insert(places.end(), further_.begin(), further_.end());
  return places;
}

}  // namespace conode::bus
