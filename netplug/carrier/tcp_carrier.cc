// SPDX-License-Identifier: Apache-2.0
// The TCP carrier: for each peer one connection a lane. One control thread makes connections
// (tcp_control.h), one thread a lane reads all of that lane's connections and writes what had to
// wait. Connections are shared between the peer's slot (senders) and the lane's thread (owner of
// the reading side); whoever replaces one shuts it down, and its lane's thread retires it.
#include <fmt/format.h>

#include <map>

#include "netplug/carrier/carrier.h"
#include "netplug/carrier/tcp_connection.h"
#include "netplug/carrier/tcp_control.h"

namespace conode::carrier {
namespace {

constexpr uint8_t kTcp = 1;

using Connection = std::shared_ptr<TcpConnection>;

// The connections to one peer.
class PeerSlot {
 public:
  // The one that was there before.
  Connection put(const Connection& connection, size_t lanes) {
    const std::lock_guard lock(mutex_);
    lanes_ = lanes;
    return std::exchange(connections_.at(connection->lane()), connection);
  }
  // False where another has taken its place.
  bool take_out(const TcpConnection& connection) {
    const std::lock_guard lock(mutex_);
    Connection& mine = connections_.at(connection.lane());
    if (mine.get() != &connection) return false;
    mine.reset();
    return true;
  }
  // The lane's own, else any: better than none while a lane is being dialed.
  [[nodiscard]] Connection choose(size_t lane) {
    const std::lock_guard lock(mutex_);
    if (const Connection& own = connections_[lane % lanes_]) return own;
    for (const Connection& other : connections_)
      if (other) return other;
    return nullptr;
  }
  void shut() {
    const std::lock_guard lock(mutex_);
    for (const Connection& connection : connections_)
      if (connection) connection->shut();
  }

 private:
  std::mutex mutex_;
  std::array<Connection, kMaxLanes> connections_;
  size_t lanes_ = 1;
};

// The reading side of one lane.
struct Lane {
  std::unique_ptr<EventLoop> loop;
  std::mutex mutex;
  std::vector<Connection> fresh;                 // with mutex
  std::map<TcpConnection*, Connection> serving;  // the lane's thread
};

class TcpCarrier : public Carrier {
 public:
  TcpCarrier(CarrierOptions options, FrameSink& sink)
      : options_(std::move(options)), sink_(sink), slots_(options_.ranks), lanes_(options_.lanes) {}
  ~TcpCarrier() override { stop_all(); }

  Result<void> start();

  [[nodiscard]] uint16_t port() const override { return control_->port(); }
  void set_peer(Rank peer, const Endpoint& endpoint) override {
    if (peer < options_.ranks) control_->set_peer(peer, endpoint);
  }
  void remove_peer(Rank peer) override {
    if (peer >= options_.ranks) return;
    control_->remove_peer(peer);
    slots_[peer].shut();
  }
  void send(size_t lane, Rank to, FrameBuffer& frame) override;
  void stop() override { stop_all(); }

 private:
  void stop_all();
  void established(Established made);
  std::chrono::milliseconds step(size_t lane, std::span<const epoll_event> events);
  void retire(Lane& lane, TcpConnection& connection);

  CarrierOptions options_;
  FrameSink& sink_;
  std::vector<PeerSlot> slots_;
  std::vector<Lane> lanes_;
  std::unique_ptr<TcpControl> control_;
};

Result<void> TcpCarrier::start() {
  Handshake handshake =
      TRY(Handshake::create(options_.secret, options_.rank, options_.protection, kTcp));
  control_ = TRY(TcpControl::create(options_, std::move(handshake),
                                    [this](Established made) { established(std::move(made)); }));
  for (size_t i = 0; i < lanes_.size(); ++i) {
    lanes_[i].loop = TRY(EventLoop::create());
    lanes_[i].loop->set_spin(options_.spin);
    TRY(lanes_[i].loop->start(
        fmt::format("cn-relay-rx{}", i), options_.cpus,
        [this, i](std::span<const epoll_event> events) { return step(i, events); }));
  }
  return control_->start();
}

void TcpCarrier::stop_all() {
  if (control_) control_->stop();
  for (Lane& lane : lanes_)
    if (lane.loop) lane.loop->stop();
}

void TcpCarrier::send(size_t lane, Rank to, FrameBuffer& frame) {
  PeerCounters& counters = (*options_.peers)[to];
  const Connection connection = slots_[to].choose(lane);
  const size_t size = frame.size();
  const auto outcome =
      connection ? connection->send(frame, options_.backlog) : TcpConnection::Outcome::broken;
  if (outcome == TcpConnection::Outcome::sent) {
    add(counters.sent_frames);
    add(counters.sent_bytes, size);
    return;
  }
  add(counters.dropped);
  options_.drops->count(outcome == TcpConnection::Outcome::dropped ? Drop::backlog : Drop::no_peer);
}

// Control thread.
void TcpCarrier::established(Established made) {
  Lane& lane = lanes_[made.lane % lanes_.size()];
  const Rank peer = made.peer;
  const size_t dialed = made.lane;
  Result<Connection> connection = TcpConnection::create(std::move(made.socket), peer, dialed,
                                                        made.keys, options_.protection, *lane.loop);
  if (!connection) return control_->lost(peer, dialed);
  add((*options_.peers)[peer].sessions);
  if (const Connection old = slots_[peer].put(*connection, made.lanes)) old->shut();
  {
    const std::lock_guard lock(lane.mutex);
    lane.fresh.push_back(std::move(*connection));
  }
  lane.loop->wake();
}

std::chrono::milliseconds TcpCarrier::step(size_t index, std::span<const epoll_event> events) {
  Lane& lane = lanes_[index];
  for (const epoll_event& event : events) {
    auto& connection = *static_cast<TcpConnection*>(event.data.ptr);
    if ((event.events & EPOLLOUT) != 0) connection.flush();
    if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) continue;
    const auto end = connection.receive(
        [&](std::span<uint8_t> frame) { sink_.deliver(index, connection.peer(), frame); });
    if (end == TcpConnection::End::forged) options_.drops->count(Drop::stranger);
    if (end != TcpConnection::End::none) retire(lane, connection);
  }
  std::vector<Connection> fresh;
  {
    const std::lock_guard lock(lane.mutex);
    fresh.swap(lane.fresh);
  }
  for (Connection& connection : fresh) {
    TcpConnection& one = *connection;
    lane.serving.emplace(&one, std::move(connection));
    // With EPOLLOUT: a sender may have had to keep something before there was a watch to change.
    if (!lane.loop->watch(one.fd(), EPOLLIN | EPOLLOUT, &one)) retire(lane, one);
  }
  return std::chrono::milliseconds(-1);
}

void TcpCarrier::retire(Lane& lane, TcpConnection& connection) {
  connection.shut();
  lane.loop->forget(connection.fd());
  if (slots_[connection.peer()].take_out(connection))
    control_->lost(connection.peer(), connection.lane());
  lane.serving.erase(&connection);  // a sender may hold it for a moment longer
}

}  // namespace

Result<std::unique_ptr<Carrier>> start_tcp(CarrierOptions options, FrameSink& sink) {
  auto made = std::make_unique<TcpCarrier>(std::move(options), sink);
  TRY(made->start());
  return made;
}

}  // namespace conode::carrier
