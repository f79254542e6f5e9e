// SPDX-License-Identifier: Apache-2.0
// How frames lie in a UDP carrier's datagrams: a frame is cut into chunks of equal size (the last
// may be shorter), each in one datagram behind a header of 32 bytes. No input or output here.
//
//   0  kind: 0xd1 chunk, 0xd2 keep-alive   u8
//   1  lane                                u8
//   2  rank of the sender                  u16
//   4  session                             u32
//   8  frame number << 8 | chunk number    u64
//  16  length of the frame                 u32
//  20  size of a chunk                     u16
//  22  0                                   u16
//  24  SipHash of bytes 0 to 23            u64
//
// Who lacks the session's key cannot make a header, and a header is accepted once; its payload is
// covered only with AES-GCM, which seals the frame as a whole before it is cut.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "netplug/carrier/frame.h"
#include "netplug/carrier/session_keys.h"

namespace conode::carrier {

inline constexpr size_t kDatagramHeader = 32;
inline constexpr size_t kMaxChunks = 256;
inline constexpr size_t kMaxSealedFrame = kMaxFrame + kSealSize;

enum class DatagramKind : uint8_t { chunk = 0xd1, keep_alive = 0xd2 };

struct DatagramHeader {
  DatagramKind kind = DatagramKind::keep_alive;
  uint8_t lane = 0;
  uint16_t rank = 0;
  uint32_t session = 0;
  uint64_t frame = 0;  // from 1
  uint8_t chunk = 0;
  uint32_t frame_length = 0;
  uint16_t chunk_size = 0;

  [[nodiscard]] size_t chunks() const { return (frame_length + chunk_size - 1U) / chunk_size; }
  // Where this chunk's payload lies in the frame.
  [[nodiscard]] size_t offset() const { return size_t{chunk} * chunk_size; }
  [[nodiscard]] size_t payload() const;
};

using HeaderBytes = std::array<uint8_t, kDatagramHeader>;

void encode(const DatagramHeader& header, const DirectionKeys& keys, HeaderBytes& out);

// Sender of a datagram, before anything about it is believed.
struct DatagramOrigin {
  uint16_t rank = 0;
  uint8_t lane = 0;
  uint32_t session = 0;
};
[[nodiscard]] std::optional<DatagramOrigin> origin_of(Bytes datagram);

// Empty where the tag is wrong, or the sizes contradict each other or the datagram.
[[nodiscard]] std::optional<DatagramHeader> decode(Bytes datagram, const DirectionKeys& keys);

}  // namespace conode::carrier
