// SPDX-License-Identifier: Apache-2.0
// One lane to one peer over UDP. send() and keep_alive() from any thread; everything else from the
// thread that owns the lane.
#pragma once

#include <mutex>

#include "netplug/carrier/reassembly.h"
#include "netplug/carrier/udp_socket.h"

namespace conode::carrier {

// Who talks to whom.
struct LaneName {
  uint16_t own = 0;
  uint16_t peer = 0;
  uint8_t lane = 0;
};

struct UdpRoute {
  Endpoint remote;
  const UdpSocket* socket = nullptr;  // outlives the session
  size_t payload = 0;                 // largest, bytes; 0: as the path says
};

class UdpSession {
 public:
  UdpSession(LaneName name, Protection protection) : name_(name), protection_(protection) {}

  [[nodiscard]] Result<void> begin(const SessionKeys& keys, const UdpRoute& route);
  void end();
  [[nodiscard]] bool live() const { return receiving_.has_value(); }

  enum class Sent { all, full, no_session };
  // Takes the frame's content, also where nothing could be sent but for `no_session`.
  [[nodiscard]] Sent send(FrameBuffer& frame);
  void keep_alive();

  enum class Heard { nothing, frame, stale, stranger };
  struct Received {
    Heard heard = Heard::nothing;
    std::span<uint8_t> frame;  // valid until the next call
    bool gave_up = false;      // a frame before it is lost
  };
  // `datagram` claims to come from this peer and lane.
  [[nodiscard]] Received receive(const DatagramOrigin& origin, std::span<uint8_t> datagram);
  // Has anything authentic come since the last call?
  [[nodiscard]] bool take_heard() { return std::exchange(heard_, false); }

 private:
  struct Sending {
    uint32_t id = 0;
    DirectionKeys keys;
    std::optional<Sealer> sealer;
    UdpRoute route;
    bool payload_is_fixed = false;
    uint64_t frame = 0;
  };
  struct Receiving {
    uint32_t id = 0;
    DirectionKeys keys;
    std::optional<Sealer> sealer;
    std::unique_ptr<Reassembly> frames;
  };
  [[nodiscard]] UdpSocket::Sent send_chunks(Sending& sending, std::span<uint8_t> frame);
  [[nodiscard]] Received open(std::span<uint8_t> frame, uint64_t number);

  LaneName name_;
  Protection protection_;
  std::mutex mutex_;
  std::optional<Sending> sending_;  // with mutex_
  std::optional<Receiving> receiving_;
  bool heard_ = false;
};

}  // namespace conode::carrier
