// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/rendezvous.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <charconv>

#include "agent/bus/codec.h"

namespace conode::bus {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;
using std::chrono::steady_clock;

namespace {

// Thousands of agents may ask in the same millisecond.
constexpr int kReceiveBuffer = 4 << 20;
constexpr std::chrono::milliseconds kLongestPause{1000};

}  // namespace

uint64_t stamp_after(uint64_t previous) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto stamp = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  return std::max(previous + 1, static_cast<uint64_t>(stamp));
}

Result<udp::endpoint> datagram_endpoint(const std::string& endpoint) {
  const std::string wrong = fmt::format("'{}' is no endpoint like 'tcp://10.0.0.1:4711'", endpoint);
  if (!is_endpoint(endpoint)) return failure(wrong);
  const size_t colon = endpoint.rfind(':');
  std::string host = endpoint.substr(6, colon - 6);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  uint16_t port = 0;
  std::from_chars(endpoint.data() + colon + 1, endpoint.data() + endpoint.size(), port);
  error_code error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (error) return failure(wrong);
  return udp::endpoint(address, port);
}

RendezvousServer::RendezvousServer(const asio::any_io_executor& executor, Options options,
                                   Counters& counters)
    : options_(std::move(options)), counters_(counters), socket_(executor), timer_(executor) {}

Result<std::unique_ptr<RendezvousServer>> RendezvousServer::open(
    const asio::any_io_executor& executor, Options options, Counters& counters) {
  const udp::endpoint at = TRY(datagram_endpoint(options.root_endpoint));
  std::unique_ptr<RendezvousServer> server(
      new RendezvousServer(executor, std::move(options), counters));
  error_code error;
  (void)server->socket_.open(at.protocol(), error);
  if (!error) (void)server->socket_.bind(at, error);
  if (!error) (void)server->socket_.non_blocking(true, error);
  if (error)
    return code_failure(error.value(),
                        fmt::format("bind UDP port {} of {}", at.port(), at.address().to_string()));
  (void)server->socket_.set_option(asio::socket_base::receive_buffer_size(kReceiveBuffer), error);
  server->endpoints_[kRoot] = server->options_.root_endpoint;
  server->receive();
  return server;
}

void RendezvousServer::receive() {
  socket_.async_wait(udp::socket::wait_read,
                     [this, alive = std::weak_ptr<int>(alive_)](const error_code& error) {
                       if (error || alive.expired()) return;
                       drain();
                       receive();
                     });
}

void RendezvousServer::drain() {
  constexpr int kAtOnce = 256;  // then others have their turn
  for (int i = 0; i < kAtOnce; ++i) {
    udp::endpoint from;
    error_code error;
    const size_t size = socket_.receive_from(asio::buffer(buffer_), from, 0, error);
    if (error == asio::error::would_block) return;
    if (!error) handle({buffer_.data(), size}, from);  // an ICMP error of an earlier answer: next
  }
}

void RendezvousServer::handle(std::string_view sealed, const udp::endpoint& from) {
  const std::optional<wire::Datagram> datagram =
      decode_datagram(sealed, options_.key, options_.tree.size());
  if (!datagram || !datagram->has_ask()) {
    ++counters_.bad_datagrams;
    return;
  }
  const wire::Ask& ask = datagram->ask();
  uint64_t& newest = stamps_[ask.rank()];
  if (ask.stamp() < newest) {
    ++counters_.bad_datagrams;
    return;
  }
  newest = ask.stamp();
  const Rank parent = options_.tree.parent(ask.rank());
  const Waiting waiting{.from = from, .stamp = ask.stamp(), .since = steady_clock::now()};
  if (endpoints_.contains(parent))
    tell(waiting, parent);
  else
    waiting_[parent].try_emplace(ask.rank(), waiting).first->second.from = from;
  if (!ask.endpoint().empty()) learn(ask.rank(), ask.endpoint());
  if (!waiting_.empty() && !std::exchange(timer_runs_, true)) adopt_orphans();
}

void RendezvousServer::learn(Rank rank, const std::string& endpoint) {
  endpoints_[rank] = endpoint;
  tell_those_of(rank);
}

void RendezvousServer::forget(Rank rank) { endpoints_.erase(rank); }

void RendezvousServer::tell_those_of(Rank parent) {
  const auto those = waiting_.extract(parent);
  if (those.empty()) return;
  for (const auto& [rank, waiting] : those.mapped()) tell(waiting, parent);
}

void RendezvousServer::tell(const Waiting& waiting, Rank parent) {
  wire::Datagram datagram;
  wire::Told& told = *datagram.mutable_told();
  told.set_stamp(waiting.stamp);
  told.set_session(options_.session);
  told.mutable_parent()->set_rank(parent);
  told.mutable_parent()->set_endpoint(endpoints_.at(parent));
  error_code ignored;  // it asks again
  socket_.send_to(asio::buffer(encode_datagram(datagram, options_.key)), waiting.from, 0, ignored);
}

// Those who have waited too long for their parent get an ancestor further up.
void RendezvousServer::adopt_orphans() {
  const auto now = steady_clock::now();
  for (auto group = waiting_.begin(); group != waiting_.end();) {
    Rank nearest = group->first;
    while (!endpoints_.contains(nearest)) nearest = options_.tree.parent(nearest);
    std::erase_if(group->second, [&](const auto& entry) {
      if (now - entry.second.since < options_.adopt_after) return false;
      tell(entry.second, nearest);
      return true;
    });
    group = group->second.empty() ? waiting_.erase(group) : std::next(group);
  }
  timer_runs_ = !waiting_.empty();
  if (!timer_runs_) return;
  timer_.expires_after(options_.adopt_after / 8);
  timer_.async_wait([this, alive = std::weak_ptr<int>(alive_)](const error_code& error) {
    if (!error && !alive.expired()) adopt_orphans();
  });
}

RendezvousClient::RendezvousClient(const asio::any_io_executor& executor, Options options,
                                   Counters& counters, Told told)
    : options_(std::move(options)),
      counters_(counters),
      told_(std::move(told)),
      socket_(executor),
      timer_(executor),
      stamp_(stamp_after(0)),
      deadline_(steady_clock::now() + options_.patience) {}

Result<std::unique_ptr<RendezvousClient>> RendezvousClient::ask(
    const asio::any_io_executor& executor, Options options, Counters& counters, Told told) {
  const udp::endpoint root = TRY(datagram_endpoint(options.root_endpoint));
  std::unique_ptr<RendezvousClient> client(
      new RendezvousClient(executor, std::move(options), counters, std::move(told)));
  error_code error;
  (void)client->socket_.open(root.protocol(), error);
  if (!error) (void)client->socket_.connect(root, error);
  if (!error) (void)client->socket_.non_blocking(true, error);
  if (error)
    return code_failure(error.value(),
                        fmt::format("open a UDP socket to {}", client->options_.root_endpoint));
  wire::Datagram question;
  question.mutable_ask()->set_rank(client->options_.rank);
  question.mutable_ask()->set_stamp(client->stamp_);
  question.mutable_ask()->set_endpoint(client->options_.own_endpoint);
  client->question_ = encode_datagram(question, client->options_.key);
  client->receive();
  client->send();
  return client;
}

void RendezvousClient::send() {
  error_code ignored;  // ECONNREFUSED of an earlier one, a full queue: the next may pass
  socket_.send(asio::buffer(question_), 0, ignored);
  timer_.expires_after(pause_);
  pause_ = std::min(2 * pause_, kLongestPause);
  timer_.async_wait([this, alive = std::weak_ptr<int>(alive_)](const error_code& error) {
    if (error || alive.expired()) return;
    if (steady_clock::now() < deadline_) return send();
    std::exchange(told_, nullptr)(nullptr);
  });
}

void RendezvousClient::receive() {
  socket_.async_wait(udp::socket::wait_read,
                     [this, alive = std::weak_ptr<int>(alive_)](const error_code& error) {
                       if (error || alive.expired()) return;
                       error_code failed;
                       const size_t size = socket_.receive(asio::buffer(buffer_), 0, failed);
                       if (!failed) handle({buffer_.data(), size});
                       if (!alive.expired() && told_) receive();
                     });
}

void RendezvousClient::handle(std::string_view sealed) {
  const std::optional<wire::Datagram> datagram =
      decode_datagram(sealed, options_.key, options_.size);
  if (!datagram || !datagram->has_told() || datagram->told().stamp() != stamp_) {
    ++counters_.bad_datagrams;
    return;
  }
  timer_.cancel();
  std::exchange(told_, nullptr)(&datagram->told());
}

}  // namespace conode::bus
