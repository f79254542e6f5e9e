// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/tcp_control.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

namespace conode::carrier {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{3000};  // for a whole handshake
constexpr milliseconds kFirstPause{20};  // after a refused connection; doubles
constexpr milliseconds kLongestPause{1000};
constexpr size_t kMaxPending = 512;  // strangers' connections; then the oldest goes

// A peer that vanished is noticed after some seconds, also when nothing is sent to it.
constexpr struct {
  int level, name, value;
} kSocketOptions[] = {
    {IPPROTO_TCP, TCP_NODELAY, 1},  {SOL_SOCKET, SO_KEEPALIVE, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, 3}, {IPPROTO_TCP, TCP_KEEPINTVL, 1},
    {IPPROTO_TCP, TCP_KEEPCNT, 5},  {IPPROTO_TCP, TCP_USER_TIMEOUT, 10'000},
};

void tune(int socket) {
  for (const auto& [level, name, value] : kSocketOptions)
    (void)::setsockopt(socket, level, name, &value, sizeof value);
}

}  // namespace

Result<std::unique_ptr<TcpControl>> TcpControl::create(const CarrierOptions& options,
                                                       Handshake handshake, Handler handler) {
  std::unique_ptr<TcpControl> made(
      new TcpControl(options, std::move(handshake), std::move(handler)));
  made->loop_ = TRY(EventLoop::create());
  made->listener_ = TRY(bound_socket(options.listen, SOCK_STREAM));
  if (::listen(made->listener_.get(), 128) != 0)
    return errno_failure(fmt::format("listen at '{}'", options.listen.text()));
  made->port_ = TRY(local_endpoint(made->listener_.get())).port();
  TRY(made->loop_->watch(made->listener_.get(), EPOLLIN, made.get()));
  return made;
}

Result<void> TcpControl::start() {
  return loop_->start("cn-relay-ctl", options_.cpus,
                      [this](std::span<const epoll_event> events) { return step(events); });
}

void TcpControl::set_peer(Rank peer, const Endpoint& endpoint) {
  if (peer >= options_.rank) return;  // that one dials us
  const std::lock_guard lock(mutex_);
  orders_.emplace_back([this, peer, endpoint] {
    for (size_t lane = 0; lane < options_.lanes; ++lane) {
      Dial& dial = dials_[{peer, lane}];
      dial.endpoint = endpoint;
      dial.pause = milliseconds(0);
      dial.next = Clock::now();
    }
  });
  loop_->wake();
}

void TcpControl::remove_peer(Rank peer) {
  const std::lock_guard lock(mutex_);
  orders_.emplace_back([this, peer] {
    std::erase_if(dials_, [peer](const auto& entry) { return entry.first.first == peer; });
  });
  loop_->wake();
}

void TcpControl::lost(Rank peer, size_t lane) {
  const std::lock_guard lock(mutex_);
  orders_.emplace_back([this, peer, lane] {
    const auto found = dials_.find({peer, lane});
    if (found == dials_.end()) return;
    if (Clock::now() - found->second.since > kLongestPause) found->second.pause = milliseconds(0);
    redial(found->first);
  });
  loop_->wake();
}

milliseconds TcpControl::step(std::span<const epoll_event> events) {
  take_orders();
  for (const epoll_event& event : events) {
    if (event.data.ptr == this)
      accept_all();
    else
      serve(*static_cast<Pending*>(event.data.ptr), event.events);
  }
  const Clock::time_point now = Clock::now();
  for (Pending& pending : pending_)
    if (!pending.over && pending.deadline <= now) fail(pending, !pending.dialer);
  pending_.remove_if([](const Pending& pending) { return pending.over; });
  dial_due(now);
  return next_timeout();
}

void TcpControl::take_orders() {
  std::vector<std::function<void()>> orders;
  {
    const std::lock_guard lock(mutex_);
    orders.swap(orders_);
  }
  for (const auto& order : orders) order();
}

void TcpControl::accept_all() {
  for (;;) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    if (pending_.size() >= kMaxPending) {
      const auto oldest = std::find_if(pending_.begin(), pending_.end(),
                                       [](const Pending& p) { return !p.dialer && !p.over; });
      if (oldest != pending_.end()) fail(*oldest, true);
    }
    tune(socket.get());
    Pending& pending = pending_.emplace_back();
    pending.socket = std::move(socket);
    pending.deadline = Clock::now() + kPatience;
    if (!loop_->watch(pending.socket.get(), EPOLLIN, &pending)) fail(pending, false);
  }
}

void TcpControl::dial_due(Clock::time_point now) {
  for (auto& [key, entry] : dials_) {
    if (entry.busy || entry.next > now) continue;
    entry.busy = true;
    if (!dial(key, entry)) redial(key);
  }
}

Result<void> TcpControl::dial(const DialKey& key, const Dial& dial) {
  UniqueFd socket(::socket(dial.endpoint.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return errno_failure("make a carrier's socket");
  tune(socket.get());
  if (::connect(socket.get(), dial.endpoint.raw(), dial.endpoint.length) != 0 &&
      errno != EINPROGRESS)
    return errno_failure(fmt::format("connect to '{}'", dial.endpoint.text()));
  Pending& pending = pending_.emplace_back();
  pending.socket = std::move(socket);
  pending.dialer = pending.connecting = true;
  pending.expected = {.step = Step::answer,
                      .lane = static_cast<uint8_t>(key.second),
                      .lanes = static_cast<uint8_t>(options_.lanes),
                      .from = key.first,
                      .to = options_.rank,
                      .dialer = random_nonce()};
  pending.deadline = Clock::now() + kPatience;
  if (const Result<void> watched = loop_->watch(pending.socket.get(), EPOLLOUT, &pending);
      !watched) {
    pending.over = true;
    return watched;
  }
  return {};
}

// Errors of a peer are its own: the connection goes, the dialer tries again.
void TcpControl::serve(Pending& pending, uint32_t events) {
  if (pending.over) return;
  if (pending.connecting) {
    if (!connected(pending)) fail(pending, false);
    return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  while (!pending.over) {
    const bool alive = read_message(pending);
    if (!alive) return fail(pending, !pending.dialer || pending.have > 0);
    if (pending.have < kHandshakeSize) return;
    pending.have = 0;
    const std::optional<HandshakeMessage> message = handshake_.decode(pending.message);
    if (!message || !handle(pending, *message)) return fail(pending, true);
  }
}

bool TcpControl::connected(Pending& pending) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(pending.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
    return false;
  pending.connecting = false;
  loop_->change(pending.socket.get(), EPOLLIN, &pending);
  HandshakeMessage hello = pending.expected;
  hello.step = Step::hello;
  std::swap(hello.from, hello.to);
  return send_message(pending, hello);
}

// Exactly one message: what follows it are records.
bool TcpControl::read_message(Pending& pending) {
  const ssize_t n = ::recv(pending.socket.get(), pending.message.data() + pending.have,
                           kHandshakeSize - pending.have, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  pending.have += static_cast<size_t>(n);
  return n > 0;
}

bool TcpControl::handle(Pending& pending, const HandshakeMessage& message) {
  const HandshakeMessage& expected = pending.expected;
  if (!pending.dialer && !pending.answered) return accept_hello(pending, message);
  if (message.step != expected.step || message.from != expected.from ||
      message.lane != expected.lane || message.lanes != expected.lanes ||
      message.dialer != expected.dialer ||
      (!pending.dialer && message.listener != expected.listener))
    return false;
  if (pending.dialer) {
    HandshakeMessage confirm = message;
    confirm.step = Step::confirm;
    std::swap(confirm.from, confirm.to);
    if (!send_message(pending, confirm)) return false;
  }
  return finish(pending, message);
}

bool TcpControl::accept_hello(Pending& pending, const HandshakeMessage& message) {
  if (message.step != Step::hello || message.from >= options_.ranks ||
      message.from <= options_.rank || message.lanes > kMaxLanes)
    return false;
  pending.expected = message;
  pending.expected.step = Step::confirm;
  pending.expected.listener = random_nonce();
  pending.answered = true;
  HandshakeMessage answer = pending.expected;
  answer.step = Step::answer;
  std::swap(answer.from, answer.to);
  return send_message(pending, answer);
}

// A fresh socket takes a message whole.
bool TcpControl::send_message(const Pending& pending, const HandshakeMessage& message) const {
  const auto bytes = handshake_.encode(message);
  return bytes && ::send(pending.socket.get(), bytes->data(), bytes->size(),
                         MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes->size());
}

bool TcpControl::finish(Pending& pending, const HandshakeMessage& message) {
  const Result<SessionKeys> keys = handshake_.session(message, pending.dialer);
  if (!keys) return false;
  if (pending.dialer) {
    const auto found = dials_.find({message.from, message.lane});
    if (found == dials_.end()) return false;  // removed meanwhile
    found->second.since = Clock::now();
  }
  loop_->forget(pending.socket.get());
  pending.over = true;
  handler_({std::move(pending.socket), message.from, message.lane, message.lanes, *keys});
  return true;
}

void TcpControl::fail(Pending& pending, bool stranger) {
  if (stranger) options_.drops->count(Drop::stranger);
  pending.over = true;
  pending.socket.reset();  // epoll forgets it, too
  if (pending.dialer) redial({pending.expected.from, pending.expected.lane});
}

void TcpControl::redial(const DialKey& key) {
  const auto found = dials_.find(key);
  if (found == dials_.end()) return;
  Dial& dial = found->second;
  dial.busy = false;
  dial.next = Clock::now() + dial.pause;
  dial.pause = std::clamp(dial.pause * 2, kFirstPause, kLongestPause);
}

milliseconds TcpControl::next_timeout() const {
  Clock::time_point next = Clock::time_point::max();
  for (const Pending& pending : pending_) next = std::min(next, pending.deadline);
  for (const auto& [key, dial] : dials_)
    if (!dial.busy) next = std::min(next, dial.next);
  if (next == Clock::time_point::max()) return milliseconds(-1);
  const auto left = std::chrono::ceil<milliseconds>(next - Clock::now());
  return std::max(left, milliseconds(0));
}

}  // namespace conode::carrier
