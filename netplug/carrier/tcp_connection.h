// SPDX-License-Identifier: Apache-2.0
// One lane to one peer over TCP: an authenticated connection, records out and in. send() from any
// thread; flush() and receive() from the thread of `loop`. The peer's slowness is its own: what its
// socket does not take is kept up to a limit, then dropped. From an eighth of the limit on, single
// frames are dropped at intervals: senders slow down at one loss, and stall at the many that a full
// queue means for windows of a few frames of 64 KiB.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "netplug/carrier/address_plan.h"
#include "netplug/carrier/event_loop.h"
#include "netplug/carrier/record.h"

namespace conode::carrier {

class TcpConnection {
 public:
  // `socket` is non-blocking and past the handshake; `loop` outlives the connection.
  [[nodiscard]] static Result<std::shared_ptr<TcpConnection>> create(UniqueFd socket, Rank peer,
                                                                     size_t lane,
                                                                     const SessionKeys& keys,
                                                                     Protection protection,
                                                                     EventLoop& loop);

  enum class Outcome { sent, dropped, broken };
  // Takes the frame's content; `limit` is how many bytes may wait.
  [[nodiscard]] Outcome send(FrameBuffer& frame, size_t limit);
  // The socket takes more: sends what waits.
  void flush();

  enum class End { none, closed, forged };
  // Reads what is there and hands each frame to `deliver`.
  [[nodiscard]] End receive(const std::function<void(std::span<uint8_t>)>& deliver);

  // Both sides see the end of the stream; the loop's thread then retires the connection.
  void shut() const;

  [[nodiscard]] Rank peer() const { return peer_; }
  [[nodiscard]] size_t lane() const { return lane_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] EventLoop& loop() const { return loop_; }

 private:
  TcpConnection(UniqueFd socket, Rank peer, size_t lane, RecordWriter writer, RecordReader reader,
                EventLoop& loop)
      : socket_(std::move(socket)),
        peer_(peer),
        lane_(lane),
        loop_(loop),
        writer_(std::move(writer)),
        reader_(std::move(reader)) {}
  [[nodiscard]] Outcome keep(std::span<const uint8_t> bytes);
  [[nodiscard]] bool must_drop(size_t waiting, size_t size, size_t limit);

  UniqueFd socket_;
  Rank peer_;
  size_t lane_;
  EventLoop& loop_;

  std::mutex mutex_;
  RecordWriter writer_;                              // with mutex_
  std::vector<uint8_t> waiting_;                     // with mutex_
  size_t waiting_from_ = 0;                          // with mutex_
  std::chrono::steady_clock::time_point dropped_{};  // with mutex_

  RecordReader reader_;  // the loop's thread
};

}  // namespace conode::carrier
