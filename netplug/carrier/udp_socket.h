// SPDX-License-Identifier: Apache-2.0
// A UDP socket that sends trains of datagrams by one call (UDP_SEGMENT, Linux 4.18) and receives
// them coalesced (UDP_GRO, used from Linux 5.12 on). Where the way out cannot segment, it sends one
// by one. Source: udp(7); kernel Documentation/networking/segmentation-offloads.rst.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <span>

#include "netplug/carrier/datagram.h"
#include "netplug/carrier/endpoint.h"

namespace conode::carrier {

class UdpSocket {
 public:
  [[nodiscard]] static Result<std::unique_ptr<UdpSocket>> bind(const Endpoint& at);

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] Endpoint local() const { return local_; }

  enum class Sent { all, full, too_big };
  // Any thread. `full`: the socket's buffer is, and some were not sent. `too_big`: for the path.
  [[nodiscard]] Sent send_one(const Endpoint& to, Bytes bytes) const;
  // Chunk i of `frame` behind headers[i], all chunks of `chunk_size` but the last.
  [[nodiscard]] Sent send_train(const Endpoint& to, std::span<HeaderBytes> headers,
                                std::span<uint8_t> frame, size_t chunk_size) const;

  // Calls `take` for each datagram that is there, at most a few hundred. One thread at a time.
  using Take = std::function<void(const Endpoint& from, std::span<uint8_t> datagram)>;
  void receive(const Take& take);

  // The largest payload that goes to `to` in one packet, as the kernel knows the path now.
  [[nodiscard]] static size_t path_payload(const Endpoint& to);

 private:
  static constexpr size_t kBatch = 8;
  static constexpr size_t kBuffer = 65536;

  UdpSocket(UniqueFd socket, const Endpoint& local) : socket_(std::move(socket)), local_(local) {}
  [[nodiscard]] Sent send_vectors(const Endpoint& to, std::span<iovec> parts, size_t per_call,
                                  size_t segment) const;

  UniqueFd socket_;
  Endpoint local_;
  mutable std::atomic<bool> segments_{true};  // UDP_SEGMENT works
  std::unique_ptr<uint8_t[]> buffers_ = std::make_unique_for_overwrite<uint8_t[]>(kBatch * kBuffer);
};

}  // namespace conode::carrier
