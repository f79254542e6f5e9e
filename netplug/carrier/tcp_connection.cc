// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/tcp_connection.h"

#include <sys/socket.h>

namespace conode::carrier {
namespace {

constexpr std::chrono::milliseconds kDropInterval{10};
constexpr int kReadsPerTurn = 4;  // then the other peers of the lane have their turn

// Bytes taken; 0 when the socket is full; -1 when it is broken.
ssize_t send_some(int socket, std::span<const uint8_t> bytes) {
  for (;;) {
    const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return n;
    if (errno == EINTR) continue;
    return errno == EAGAIN ? 0 : -1;
  }
}

}  // namespace

Result<std::shared_ptr<TcpConnection>> TcpConnection::create(UniqueFd socket, Rank peer,
                                                             size_t lane, const SessionKeys& keys,
                                                             Protection protection,
                                                             EventLoop& loop) {
  auto writer = TRY(RecordWriter::create(keys.send, protection));
  auto reader = TRY(RecordReader::create(keys.receive, protection));
  return std::shared_ptr<TcpConnection>(
      new TcpConnection(std::move(socket), peer, lane, std::move(writer), std::move(reader), loop));
}

TcpConnection::Outcome TcpConnection::send(FrameBuffer& frame, size_t limit) {
  const std::lock_guard lock(mutex_);
  const size_t waiting = waiting_.size() - waiting_from_;
  if (must_drop(waiting, frame.size(), limit)) return Outcome::dropped;
  const std::span<const uint8_t> wire = writer_.write(frame);
  if (wire.empty()) return Outcome::broken;
  if (waiting > 0) return keep(wire);
  const ssize_t sent = send_some(socket_.get(), wire);
  if (sent < 0) {
    shut();
    return Outcome::broken;
  }
  if (static_cast<size_t>(sent) == wire.size()) return Outcome::sent;
  loop_.change(socket_.get(), EPOLLIN | EPOLLOUT, this);
  return keep(wire.subspan(static_cast<size_t>(sent)));
}

bool TcpConnection::must_drop(size_t waiting, size_t size, size_t limit) {
  if (waiting < limit / 8) return false;
  const auto now = std::chrono::steady_clock::now();
  if (waiting + size <= limit && now - dropped_ < kDropInterval) return false;
  dropped_ = now;
  return true;
}

TcpConnection::Outcome TcpConnection::keep(std::span<const uint8_t> bytes) {
  if (waiting_from_ > waiting_.size() / 2) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(waiting_from_));
    waiting_from_ = 0;
  }
  waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
  return Outcome::sent;
}

void TcpConnection::flush() {
  const std::lock_guard lock(mutex_);
  const std::span<const uint8_t> rest = std::span(waiting_).subspan(waiting_from_);
  const ssize_t sent = rest.empty() ? 0 : send_some(socket_.get(), rest);
  if (sent < 0) return shut();
  waiting_from_ += static_cast<size_t>(sent);
  if (waiting_from_ < waiting_.size()) return;
  waiting_.clear();
  waiting_from_ = 0;
  loop_.change(socket_.get(), EPOLLIN, this);
}

TcpConnection::End TcpConnection::receive(const std::function<void(std::span<uint8_t>)>& deliver) {
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    const std::span<uint8_t> space = reader_.space();
    const ssize_t n = ::recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? End::none : End::closed;
    if (n == 0) return End::closed;
    reader_.received(static_cast<size_t>(n));
    for (;;) {
      const RecordReader::Next next = reader_.next();
      if (next.state == RecordReader::State::forged) return End::forged;
      if (next.state == RecordReader::State::more) break;
      deliver(next.frame);
    }
    if (static_cast<size_t>(n) < space.size()) return End::none;
  }
  return End::none;
}

void TcpConnection::shut() const { (void)::shutdown(socket_.get(), SHUT_RDWR); }

}  // namespace conode::carrier
