// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/datagram.h"

#include <algorithm>

#include "netplug/carrier/wire.h"

namespace conode::carrier {
namespace {

// Offsets of the header.
enum : size_t {
  kKind = 0,
  kLane = 1,
  kRank = 2,
  kSession = 4,
  kSequence = 8,
  kLength = 16,
  kChunkSize = 20,
  kTag = 24,
};

bool is_sound(const DatagramHeader& header, size_t payload) {
  if (header.kind == DatagramKind::keep_alive) return payload == 0;
  if (header.kind != DatagramKind::chunk || header.frame == 0 || header.chunk_size == 0 ||
      header.frame_length == 0 || header.frame_length > kMaxSealedFrame)
    return false;
  return header.chunks() <= kMaxChunks && header.chunk < header.chunks() &&
         header.payload() == payload;
}

}  // namespace

size_t DatagramHeader::payload() const {
  return std::min<size_t>(chunk_size, frame_length - offset());
}

void encode(const DatagramHeader& header, const DirectionKeys& keys, HeaderBytes& out) {
  out[kKind] = static_cast<uint8_t>(header.kind);
  out[kLane] = header.lane;
  store(out, kRank, header.rank);
  store(out, kSession, header.session);
  store(out, kSequence, header.frame << 8U | header.chunk);
  store(out, kLength, header.frame_length);
  store(out, kChunkSize, header.chunk_size);
  store(out, kChunkSize + 2, uint16_t{0});
  store(out, kTag, tag(keys, Bytes(out).first(kTag)));
}

std::optional<DatagramOrigin> origin_of(Bytes datagram) {
  if (datagram.size() < kDatagramHeader) return std::nullopt;
  return DatagramOrigin{load<uint16_t>(datagram, kRank), datagram[kLane],
                        load<uint32_t>(datagram, kSession)};
}

std::optional<DatagramHeader> decode(Bytes datagram, const DirectionKeys& keys) {
  if (datagram.size() < kDatagramHeader ||
      load<uint64_t>(datagram, kTag) != tag(keys, datagram.first(kTag)))
    return std::nullopt;
  const auto sequence = load<uint64_t>(datagram, kSequence);
  const DatagramHeader header{.kind = static_cast<DatagramKind>(datagram[kKind]),
                              .lane = datagram[kLane],
                              .rank = load<uint16_t>(datagram, kRank),
                              .session = load<uint32_t>(datagram, kSession),
                              .frame = sequence >> 8U,
                              .chunk = static_cast<uint8_t>(sequence),
                              .frame_length = load<uint32_t>(datagram, kLength),
                              .chunk_size = load<uint16_t>(datagram, kChunkSize)};
  if (!is_sound(header, datagram.size() - kDatagramHeader)) return std::nullopt;
  return header;
}

}  // namespace conode::carrier
