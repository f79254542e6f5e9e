// SPDX-License-Identifier: Apache-2.0
// The UDP carrier: a socket and a thread for each of our lanes. The first socket is bound where
// peers expect us, the others anywhere: a dialer greets the first socket of its peer, and is
// answered from the socket that serves the lane, whose address it then uses. All that is about a
// lane comes to the thread of that lane, but for the first greeting and knocks.
#include <fmt/format.h>

#include <mutex>

#include "netplug/carrier/carrier.h"
#include "netplug/carrier/event_loop.h"
#include "netplug/carrier/udp_handshakes.h"
#include "netplug/carrier/udp_session.h"
#include "netplug/carrier/wire.h"

namespace conode::carrier {
namespace {

using std::chrono::milliseconds;
using Clock = UdpHandshakes::Clock;

constexpr uint8_t kUdp = 2;
constexpr uint32_t kMaxRanks = 65536;  // what a datagram's header has room for

// One lane to one peer.
struct PeerLane {
  PeerLane(LaneName name, Protection protection)
      : session(name, protection), handshakes(name.own, name.peer, name.lane) {}
  UdpSession session;
  std::mutex mutex;
  UdpHandshakes handshakes;  // with mutex
};

struct Peer {
  std::array<std::unique_ptr<PeerLane>, kMaxLanes> lanes;
  std::atomic<size_t> lane_count{1};  // that its dialer makes
  std::mutex mutex;
  std::optional<Endpoint> endpoint;  // with mutex
  std::atomic<bool> known{false};
};

struct Lane {
  std::unique_ptr<UdpSocket> socket;
  std::unique_ptr<EventLoop> loop;
  std::atomic<bool> due{true};  // somebody has changed what tick() looks at
  Clock::time_point next_tick;  // the lane's thread

  void hurry() {
    due = true;
    loop->wake();
  }
};

class UdpCarrier : public Carrier {
 public:
  UdpCarrier(CarrierOptions options, Handshake handshake, FrameSink& sink);
  ~UdpCarrier() override { stop_all(); }
  Result<void> start();

  [[nodiscard]] uint16_t port() const override { return lanes_[0].socket->local().port(); }
  void set_peer(Rank peer, const Endpoint& endpoint) override;
  void remove_peer(Rank peer) override;
  void send(size_t lane, Rank to, FrameBuffer& frame) override;
  void stop() override { stop_all(); }

 private:
  void stop_all();
  milliseconds step(size_t lane, bool readable);
  void take(size_t lane, const Endpoint& from, std::span<uint8_t> datagram);
  void take_handshake(size_t lane, const Endpoint& from, Bytes bytes);
  void knocked(Peer& peer, const HandshakeMessage& message);
  void act(size_t lane, Rank rank, size_t peer_lane, const UdpHandshakes::Actions& actions,
           const Endpoint& to);
  [[nodiscard]] Clock::time_point tick(size_t lane, Rank rank, Clock::time_point now);
  [[nodiscard]] size_t owner(size_t peer_lane) const { return peer_lane % lanes_.size(); }
  // How many lanes there are to that peer.
  [[nodiscard]] size_t lanes_to(Rank rank) const {
    return options_.rank > rank ? lanes_.size() : peers_[rank].lane_count.load();
  }

  CarrierOptions options_;
  Handshake handshake_;
  FrameSink& sink_;
  std::vector<Lane> lanes_;
  std::vector<Peer> peers_;
};

UdpCarrier::UdpCarrier(CarrierOptions options, Handshake handshake, FrameSink& sink)
    : options_(std::move(options)),
      handshake_(std::move(handshake)),
      sink_(sink),
      lanes_(options_.lanes),
      peers_(options_.ranks) {
  for (Rank rank = 0; rank < options_.ranks; ++rank)
    for (size_t lane = 0; lane < kMaxLanes; ++lane)
      peers_[rank].lanes[lane] = std::make_unique<PeerLane>(
          LaneName{static_cast<uint16_t>(options_.rank), static_cast<uint16_t>(rank),
                   static_cast<uint8_t>(lane)},
          options_.protection);
}

Result<void> UdpCarrier::start() {
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const Endpoint at = i == 0 ? options_.listen : options_.listen.with_port(0);
    lanes_[i].socket = TRY(UdpSocket::bind(at));
    lanes_[i].loop = TRY(EventLoop::create());
    lanes_[i].loop->set_spin(options_.spin);
    TRY(lanes_[i].loop->watch(lanes_[i].socket->fd(), EPOLLIN, this));
  }
  for (size_t i = 0; i < lanes_.size(); ++i)
    TRY(lanes_[i].loop->start(
        fmt::format("cn-relay-rx{}", i), options_.cpus,
        [this, i](std::span<const epoll_event> events) { return step(i, !events.empty()); }));
  return {};
}

void UdpCarrier::stop_all() {
  for (Lane& lane : lanes_)
    if (lane.loop) lane.loop->stop();
}

void UdpCarrier::set_peer(Rank rank, const Endpoint& endpoint) {
  if (rank >= options_.ranks) return;
  Peer& peer = peers_[rank];
  {
    const std::lock_guard lock(peer.mutex);
    peer.endpoint = endpoint;
  }
  peer.known = true;
  for (Lane& lane : lanes_) lane.hurry();
}

// Its sessions end when the next tick of each lane sees it.
void UdpCarrier::remove_peer(Rank rank) {
  if (rank >= options_.ranks) return;
  Peer& peer = peers_[rank];
  {
    const std::lock_guard lock(peer.mutex);
    peer.endpoint.reset();
  }
  peer.known = false;
  for (Lane& lane : lanes_) lane.hurry();
}

void UdpCarrier::send(size_t lane, Rank to, FrameBuffer& frame) {
  PeerCounters& counters = (*options_.peers)[to];
  const size_t lanes = lanes_to(to);
  const size_t size = frame.size();
  auto sent = UdpSession::Sent::no_session;
  for (size_t i = 0; i < lanes && sent == UdpSession::Sent::no_session; ++i)
    sent = peers_[to].lanes[(lane + i) % lanes]->session.send(frame);
  if (sent == UdpSession::Sent::all) {
    add(counters.sent_frames);
    add(counters.sent_bytes, size);
    return;
  }
  add(counters.dropped);
  options_.drops->count(sent == UdpSession::Sent::full ? Drop::backlog : Drop::no_peer);
}

milliseconds UdpCarrier::step(size_t index, bool readable) {
  Lane& lane = lanes_[index];
  if (readable)
    lane.socket->receive([this, index](const Endpoint& from, std::span<uint8_t> datagram) {
      take(index, from, datagram);
    });
  const Clock::time_point now = Clock::now();
  if (lane.due.exchange(false) || now >= lane.next_tick) {
    lane.next_tick = now + UdpHandshakes::kKeepAlive;
    for (Rank rank = 0; rank < options_.ranks; ++rank)
      lane.next_tick = std::min(lane.next_tick, tick(index, rank, now));
  }
  return std::max(milliseconds(1), std::chrono::ceil<milliseconds>(lane.next_tick - now));
}

void UdpCarrier::take(size_t lane, const Endpoint& from, std::span<uint8_t> datagram) {
  if (datagram.size() >= sizeof kHandshakeMagic && load<uint32_t>(datagram, 0) == kHandshakeMagic)
    return take_handshake(lane, from, datagram);
  const std::optional<DatagramOrigin> origin = origin_of(datagram);
  if (!origin || origin->rank >= options_.ranks || origin->lane >= kMaxLanes)
    return options_.drops->count(Drop::stranger);
  if (owner(origin->lane) != lane) return options_.drops->count(Drop::stale);
  UdpSession& session = peers_[origin->rank].lanes[origin->lane]->session;
  const UdpSession::Received received = session.receive(*origin, datagram);
  if (received.gave_up) options_.drops->count(Drop::incomplete);
  switch (received.heard) {
    case UdpSession::Heard::nothing:
      return;
    case UdpSession::Heard::frame:
      return sink_.deliver(lane, origin->rank, received.frame);
    case UdpSession::Heard::stale:
      return options_.drops->count(Drop::stale);
    case UdpSession::Heard::stranger:
      return options_.drops->count(Drop::stranger);
  }
}

void UdpCarrier::take_handshake(size_t lane, const Endpoint& from, Bytes bytes) {
  const std::optional<HandshakeMessage> message = handshake_.decode(bytes);
  if (!message || message->from >= options_.ranks || message->from == options_.rank ||
      message->lane >= kMaxLanes || message->lanes > kMaxLanes)
    return options_.drops->count(Drop::stranger);
  Peer& peer = peers_[message->from];
  if (message->step == Step::knock) return knocked(peer, *message);
  if (message->step == Step::hello && message->from > options_.rank) {
    peer.lane_count = message->lanes;
    peer.known = true;
  } else if (owner(message->lane) != lane) {
    return options_.drops->count(Drop::stale);
  }
  PeerLane& one = *peer.lanes[message->lane];
  UdpHandshakes::Actions actions;
  {
    const std::lock_guard lock(one.mutex);
    actions = one.handshakes.handle(*message, Clock::now());
  }
  lanes_[lane].due = true;
  act(lane, message->from, message->lane, actions, from);
}

void UdpCarrier::knocked(Peer& peer, const HandshakeMessage& message) {
  for (const auto& one : peer.lanes) {
    const std::lock_guard lock(one->mutex);
    (void)one->handshakes.handle(message, Clock::now());
  }
  for (Lane& lane : lanes_) lane.hurry();
}

// In the lane's thread, where a session begins or ends.
void UdpCarrier::act(size_t lane, Rank rank, size_t peer_lane,
                     const UdpHandshakes::Actions& actions, const Endpoint& to) {
  UdpSession& session = peers_[rank].lanes[peer_lane]->session;
  if (actions.end) session.end();
  if (actions.session) {
    const bool dialer = options_.rank > rank;
    const Result<SessionKeys> keys = handshake_.session(*actions.session, dialer);
    if (!keys || !session.begin(*keys, {to, lanes_[lane].socket.get(), options_.datagram})) return;
    add((*options_.peers)[rank].sessions);
  }
  if (actions.send) {
    const auto bytes = handshake_.encode(*actions.send);
    if (bytes) (void)lanes_[owner(peer_lane)].socket->send_one(to, *bytes);
  }
  if (actions.keep_alive) session.keep_alive();
}

Clock::time_point UdpCarrier::tick(size_t lane, Rank rank, Clock::time_point now) {
  Peer& peer = peers_[rank];
  Clock::time_point next = Clock::time_point::max();
  const bool known = peer.known;
  if (rank == options_.rank) return next;
  std::optional<Endpoint> endpoint;
  if (known) {
    const std::lock_guard lock(peer.mutex);
    endpoint = peer.endpoint;
  }
  for (size_t i = lane; i < lanes_to(rank); i += lanes_.size()) {
    PeerLane& one = *peer.lanes[i];
    if (!known && one.session.live()) one.session.end();
    if (!known) continue;
    UdpHandshakes::Actions actions;
    {
      const std::lock_guard lock(one.mutex);
      actions =
          one.handshakes.tick(now, one.session.live(), one.session.take_heard(), lanes_.size());
      next = std::min(next, one.handshakes.next());
    }
    if (!endpoint) actions.send.reset();
    act(lane, rank, i, actions, endpoint.value_or(Endpoint{}));
  }
  return next;
}

}  // namespace

Result<std::unique_ptr<Carrier>> start_udp(CarrierOptions options, FrameSink& sink) {
  if (options.ranks > kMaxRanks)
    return failure(
        fmt::format("the UDP carrier has room for {} nodes, not {}", kMaxRanks, options.ranks));
  Handshake handshake =
      TRY(Handshake::create(options.secret, options.rank, options.protection, kUdp));
  auto made = std::make_unique<UdpCarrier>(std::move(options), std::move(handshake), sink);
  TRY(made->start());
  return made;
}

}  // namespace conode::carrier
