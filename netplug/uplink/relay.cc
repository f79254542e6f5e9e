// SPDX-License-Identifier: Apache-2.0
#include "netplug/uplink/relay.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "netplug/carrier/carrier.h"
#include "netplug/carrier/event_loop.h"
#include "netplug/carrier/frame.h"

namespace conode {

using carrier::Drop;

namespace {

constexpr int kFramesPerTurn = 64;

}  // namespace

// One pair of directions for all queues. Everything but the counters is fixed once threads run.
struct Relay::Core : carrier::FrameSink {
  explicit Core(RelayOptions given) : options(std::move(given)), peers(options.plan.ranks()) {}
  ~Core() override { stop(); }

  Result<void> start();
  void stop();
  void deliver(size_t lane, Rank from, std::span<uint8_t> frame) override;
  std::chrono::milliseconds pump(size_t lane, FrameBuffer& frame);
  void route(size_t lane, FrameBuffer& frame);

  RelayOptions options;
  carrier::Drops drops;
  std::vector<carrier::PeerCounters> peers;
  std::unique_ptr<carrier::Carrier> carrier;
  std::vector<std::unique_ptr<carrier::EventLoop>> pumps;
};

Result<void> Relay::Core::start() {
  const carrier::Endpoint listen = TRY(carrier::Endpoint::resolve(options.listen));
  carrier::CarrierOptions wanted{.rank = options.rank,
                                 .ranks = options.plan.ranks(),
                                 .lanes = options.tun.size(),
                                 .secret = options.secret,
                                 .listen = listen,
                                 .protection = options.encryption == RelayEncryption::aes_gcm
                                                   ? carrier::Protection::aes_gcm
                                                   : carrier::Protection::none,
                                 .cpus = options.cpus,
                                 .spin = options.spin,
                                 .datagram = options.datagram,
                                 .drops = &drops,
                                 .peers = &peers};
  carrier = TRY(options.carrier == CarrierKind::tcp ? carrier::start_tcp(std::move(wanted), *this)
                                                    : carrier::start_udp(std::move(wanted), *this));
  for (size_t i = 0; i < options.tun.size(); ++i) {
    carrier::EventLoop& loop = *pumps.emplace_back(TRY(carrier::EventLoop::create()));
    loop.set_spin(options.spin);
    TRY(loop.watch(options.tun[i].get(), EPOLLIN, this));
    TRY(loop.start(fmt::format("cn-relay-tx{}", i), options.cpus,
                   [this, i, frame = std::make_shared<FrameBuffer>()](
                       std::span<const epoll_event> /*readable*/) { return pump(i, *frame); }));
  }
  return {};
}

void Relay::Core::stop() {
  for (const auto& loop : pumps) loop->stop();
  if (carrier) carrier->stop();
}

// TUN to carrier. A few frames a turn, so that stop() is seen.
std::chrono::milliseconds Relay::Core::pump(size_t lane, FrameBuffer& frame) {
  for (int i = 0; i < kFramesPerTurn; ++i) {
    const ssize_t n = ::read(options.tun[lane].get(), frame.data(), kMaxFrame);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::chrono::milliseconds(-1);
    frame.resize(static_cast<size_t>(n));
    route(lane, frame);
  }
  return std::chrono::milliseconds(-1);
}

void Relay::Core::route(size_t lane, FrameBuffer& frame) {
  const std::optional<FrameEnds> ends = frame_ends(frame.bytes());
  if (!ends) return drops.count(Drop::malformed);
  const std::optional<Rank> owner = options.plan.owner(ends->destination);
  if (!owner || *owner == options.rank) return drops.count(Drop::no_route);
  carrier->send(lane, *owner, frame);
}

// Carrier to TUN.
void Relay::Core::deliver(size_t lane, Rank from, std::span<uint8_t> frame) {
  const std::optional<FrameEnds> ends = frame_ends(frame);
  if (!ends || !offloads_are_sound(frame)) return drops.count(Drop::malformed);
  if (options.plan.owner(ends->source) != from) return drops.count(Drop::source);
  if (options.plan.owner(ends->destination) != options.rank) return drops.count(Drop::no_route);
  hint_header_length(frame);
  const ssize_t n = ::write(options.tun[lane].get(), frame.data(), frame.size());
  if (n != static_cast<ssize_t>(frame.size())) return drops.count(Drop::device);
  carrier::add(peers[from].received_frames);
  carrier::add(peers[from].received_bytes, frame.size());
}

uint64_t RelayStatus::dropped(std::string_view cause) const {
  for (const RelayDrop& drop : drops)
    if (drop.cause == cause) return drop.frames;
  return 0;
}

Relay::Relay(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Relay::~Relay() = default;

Result<std::unique_ptr<Relay>> Relay::start(RelayOptions options) {
  if (options.tun.empty() || options.tun.size() > carrier::kMaxLanes)
    return failure(fmt::format("start the relay: {} TUN queues, there may be 1 to {}",
                               options.tun.size(), carrier::kMaxLanes));
  if (options.rank >= options.plan.ranks())
    return failure(fmt::format("start the relay: rank {} is not in a plan of {} nodes",
                               options.rank, options.plan.ranks()));
  auto core = std::make_unique<Core>(std::move(options));
  TRY_AS("start the relay", core->start());
  return std::unique_ptr<Relay>(new Relay(std::move(core)));
}

uint16_t Relay::port() const { return core_->carrier->port(); }

Result<void> Relay::set_peer(const RelayPeer& peer) {
  if (peer.rank >= core_->options.plan.ranks() || peer.rank == core_->options.rank)
    return failure(fmt::format("add a peer to the relay: rank {} is no other node", peer.rank));
  core_->carrier->set_peer(
      peer.rank, TRY_AS("add a peer to the relay", carrier::Endpoint::resolve(peer.endpoint)));
  return {};
}

void Relay::remove_peer(Rank rank) {
  if (rank != core_->options.rank) core_->carrier->remove_peer(rank);
}

RelayStatus Relay::status() const {
  constexpr auto kOrder = std::memory_order_relaxed;
  RelayStatus now;
  for (Rank rank = 0; rank < core_->peers.size(); ++rank) {
    const carrier::PeerCounters& peer = core_->peers[rank];
    const RelayPeerStatus one{.rank = rank,
                              .sessions = peer.sessions.load(kOrder),
                              .sent_frames = peer.sent_frames.load(kOrder),
                              .sent_bytes = peer.sent_bytes.load(kOrder),
                              .received_frames = peer.received_frames.load(kOrder),
                              .received_bytes = peer.received_bytes.load(kOrder),
                              .dropped = peer.dropped.load(kOrder)};
    if (one.sessions > 0 || one.dropped > 0) now.peers.push_back(one);
  }
  const auto counts = core_->drops.read();
  for (size_t i = 0; i < counts.size(); ++i)
    now.drops.push_back({carrier::kDropNames[i], counts[i]});
  return now;
}

void Relay::stop() { core_->stop(); }

}  // namespace conode
