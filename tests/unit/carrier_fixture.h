// SPDX-License-Identifier: Apache-2.0
// Frames and keys for tests of carriers.
#pragma once

#include <cstring>
#include <vector>

#include "netplug/carrier/frame.h"
#include "netplug/carrier/handshake.h"

namespace conode::test {

// A virtio_net_hdr of zeros and an IPv4 packet from 10.88.0.1 to 10.88.0.2, `size` bytes in all.
inline std::vector<uint8_t> ipv4_frame(size_t size, uint8_t filling = 0x5a) {
  std::vector<uint8_t> frame(size, filling);
  std::memset(frame.data(), 0, kVnetHeaderSize + 20);
  uint8_t* const packet = frame.data() + kVnetHeaderSize;
  const size_t length = size - kVnetHeaderSize;
  packet[0] = 0x45;
  packet[2] = static_cast<uint8_t>(length >> 8U);
  packet[3] = static_cast<uint8_t>(length);
  const uint8_t ends[] = {10, 88, 0, 1, 10, 88, 0, 2};
  std::memcpy(packet + 12, ends, sizeof ends);
  return frame;
}

inline void fill(FrameBuffer& buffer, const std::vector<uint8_t>& frame) {
  std::memcpy(buffer.data(), frame.data(), frame.size());
  buffer.resize(frame.size());
}

// Keys of a session between rank 1, the dialer, and rank 0.
struct KeysOfBoth {
  carrier::SessionKeys dialer;
  carrier::SessionKeys listener;
};
inline KeysOfBoth session_keys(carrier::Protection protection) {
  const std::string secret(32, 's');
  const auto one = carrier::Handshake::create(secret, 1, protection, 1).value();
  const auto zero = carrier::Handshake::create(secret, 0, protection, 1).value();
  const carrier::HandshakeMessage confirm{.step = carrier::Step::confirm,
                                          .from = 1,
                                          .to = 0,
                                          .dialer = carrier::random_nonce(),
                                          .listener = carrier::random_nonce()};
  return {one.session(confirm, true).value(), zero.session(confirm, false).value()};
}

}  // namespace conode::test
