// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/links.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "agent/bus/codec.h"

namespace conode::bus {

namespace asio = boost::asio;

namespace {

constexpr int kLinger = 300;         // ms
constexpr int kBacklog = 4096;       // the kernel cuts it to net.core.somaxconn
constexpr int kReconnect = 100;      // ms
constexpr int kMostQueued = 100000;  // messages; a peer that is so far behind is lost

zmq::const_buffer buffer_of(const Key& key) { return {key.data(), key.size()}; }

void set_common(zmq::socket_t& socket, const std::string& address,
                std::chrono::milliseconds dead_after) {
  socket.set(zmq::sockopt::linger, kLinger);
  socket.set(zmq::sockopt::sndhwm, kMostQueued);
  socket.set(zmq::sockopt::rcvhwm, kMostQueued);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(kMostMessage));
  socket.set(zmq::sockopt::ipv6, address.find('[') != std::string::npos);
  // The kernel closes connections whose host is gone without a word (tcp(7): TCP_USER_TIMEOUT,
  // keep-alive). That an agent hangs is ours to see. Not ZMTP's heartbeats: each would keep a timer
  // in libzmq, where to cancel any timer takes time proportional to their number.
  const auto most = static_cast<int>(2 * dead_after.count());
  const int seconds = std::max(1, static_cast<int>(dead_after.count() / 1000));
  socket.set(zmq::sockopt::tcp_maxrt, most);
  socket.set(zmq::sockopt::tcp_keepalive, 1);
  socket.set(zmq::sockopt::tcp_keepalive_idle, seconds);
  socket.set(zmq::sockopt::tcp_keepalive_intvl, seconds);
  socket.set(zmq::sockopt::tcp_keepalive_cnt, 2);
}

// A connection's name at the parent: 'r', rank, epoch. Unique, so that the old connection of a
// child that comes back does not stand in its way.
constexpr size_t kNameSize = 1 + sizeof(Rank) + sizeof(uint64_t);

std::string connection_name(Rank rank, uint64_t epoch) {
  std::string name(kNameSize, 'r');
  std::memcpy(name.data() + 1, &rank, sizeof rank);
  std::memcpy(name.data() + 1 + sizeof rank, &epoch, sizeof epoch);
  return name;
}

// The rank that the gate found for the connection's key.
std::optional<Rank> proven_rank(zmq::message_t& frame) {
  const char* const user = ::zmq_msg_gets(frame.handle(), "User-Id");
  if (user == nullptr) return std::nullopt;
  const std::string_view text(user);
  Rank rank = 0;
  const auto parsed = std::from_chars(text.begin(), text.end(), rank);
  if (parsed.ec != std::errc() || parsed.ptr != text.end()) return std::nullopt;
  return rank;
}

}  // namespace

Result<std::shared_ptr<Uplink>> Uplink::connect(const asio::any_io_executor& executor,
                                                Context& context, Rank own_rank, uint64_t epoch,
                                                const std::string& endpoint,
                                                std::chrono::milliseconds dead_after,
                                                std::function<void()> ready) {
  const CurveKeys own = context.keys().client(own_rank);
  auto uplink = std::make_shared<Uplink>();
  try {
    zmq::socket_t socket(context.zmq(), zmq::socket_type::dealer);
    set_common(socket, endpoint, dead_after);
    socket.set(zmq::sockopt::routing_id, connection_name(own_rank, epoch));
    // Nothing is queued for a connection that does not stand: a send that fails says so.
    socket.set(zmq::sockopt::immediate, true);
    socket.set(zmq::sockopt::reconnect_ivl, kReconnect);
    socket.set(zmq::sockopt::handshake_ivl, 0);  // ParentLink looks after the time
    socket.set(zmq::sockopt::curve_serverkey, buffer_of(context.server().public_key));
    socket.set(zmq::sockopt::curve_publickey, buffer_of(own.public_key));
    socket.set(zmq::sockopt::curve_secretkey, buffer_of(own.secret_key));
    socket.connect(endpoint);
    uplink->socket_ = TRY(Socket::create(executor, std::move(socket), std::move(ready)));
    return uplink;
  } catch (const zmq::error_t& error) {
    return zmq_failure(error, fmt::format("connect to '{}'", endpoint));
  }
}

std::optional<Packet> Uplink::receive() {
  std::vector<zmq::message_t> frames = socket_->receive();
  if (frames.empty()) return std::nullopt;
  Packet packet;
  packet.envelope = std::move(frames[0]);
  if (frames.size() > 1) packet.bulk = std::move(frames[1]);
  return packet;
}

bool Uplink::send(const std::string& envelope) {
  std::vector<zmq::message_t> frames;
  frames.emplace_back(envelope);
  return socket_->send(std::move(frames)) == Sent::yes;
}

Result<std::unique_ptr<Downlink>> Downlink::bind(const asio::any_io_executor& executor,
                                                 Context& context, const std::string& address,
                                                 std::chrono::milliseconds dead_after,
                                                 Counters& counters, std::function<void()> ready) {
  const std::string host =
      address.find(':') == std::string::npos ? address : fmt::format("[{}]", address);
  std::unique_ptr<Downlink> downlink(new Downlink(counters));
  try {
    zmq::socket_t socket(context.zmq(), zmq::socket_type::router);
    set_common(socket, host, dead_after);
    socket.set(zmq::sockopt::router_mandatory, true);
    socket.set(zmq::sockopt::backlog, kBacklog);
    socket.set(zmq::sockopt::zap_domain, "conode");
    socket.set(zmq::sockopt::curve_server, true);
    socket.set(zmq::sockopt::curve_secretkey, buffer_of(context.server().secret_key));
    TRY(downlink->watch_handshakes(executor, context, socket));
    socket.bind(fmt::format("tcp://{}:*", host));
    downlink->endpoint_ = socket.get(zmq::sockopt::last_endpoint);
    downlink->socket_ = TRY(Socket::create(executor, std::move(socket), std::move(ready)));
    return downlink;
  } catch (const zmq::error_t& error) {
    return zmq_failure(error, fmt::format("bind a TCP port of '{}'", address));
  }
}

// The monitor tells only of failed handshakes: in peace it costs nothing.
Result<void> Downlink::watch_handshakes(const asio::any_io_executor& executor, Context& context,
                                        zmq::socket_t& socket) {
  const std::string name = fmt::format("inproc://handshakes-{:x}", random_number());
  constexpr int kFailures = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                            ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
  if (::zmq_socket_monitor(socket.handle(), name.c_str(), kFailures) != 0)
    return code_failure(::zmq_errno(), "monitor a ZeroMQ socket");
  zmq::socket_t monitor(context.zmq(), zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  monitor.connect(name);
  handshakes_ = TRY(Socket::create(executor, std::move(monitor), [this] { count_strangers(); }));
  return {};
}

void Downlink::count_strangers() {
  while (!handshakes_->receive().empty()) ++counters_.strangers;
}

std::optional<Packet> Downlink::receive() {
  while (true) {
    std::vector<zmq::message_t> frames = socket_->receive();
    if (frames.empty()) return std::nullopt;
    const std::optional<Rank> rank = frames.size() > 1 ? proven_rank(frames[1]) : std::nullopt;
    if (!rank || frames.size() > 3 || frames[0].size() != kNameSize) {
      ++counters_.garbage;
      continue;
    }
    Packet packet;
    std::memcpy(&packet.from, frames[0].data<char>() + 1, sizeof packet.from);
    std::memcpy(&packet.epoch, frames[0].data<char>() + 1 + sizeof packet.from,
                sizeof packet.epoch);
    if (packet.from != *rank) {
      ++counters_.forged;
      continue;
    }
    packet.envelope = std::move(frames[1]);
    if (frames.size() > 2) packet.bulk = std::move(frames[2]);
    return packet;
  }
}

bool Downlink::send(Rank child, uint64_t epoch, const std::string& envelope, zmq::message_t bulk) {
  std::vector<zmq::message_t> frames;
  frames.emplace_back(connection_name(child, epoch));
  frames.emplace_back(envelope);
  if (!bulk.empty()) frames.push_back(std::move(bulk));
  return socket_->send(std::move(frames)) == Sent::yes;
}

}  // namespace conode::bus
