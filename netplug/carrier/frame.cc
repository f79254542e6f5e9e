// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/frame.h"

namespace conode {
namespace {

// Offsets in struct virtio_net_hdr.
constexpr size_t kFlags = 0;
constexpr size_t kGsoType = 1;
constexpr size_t kHeaderLength = 2;
constexpr size_t kGsoSize = 4;
constexpr size_t kChecksumStart = 6;
constexpr size_t kChecksumOffset = 8;

constexpr uint8_t kNeedsChecksum = 1;
constexpr uint8_t kEcn = 0x80;
constexpr uint8_t kGsoNone = 0;
constexpr uint8_t kGsoTcp4 = 1;
constexpr uint8_t kGsoTcp6 = 4;
constexpr uint8_t kGsoUdp = 5;  // VIRTIO_NET_HDR_GSO_UDP_L4

constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv6Header = 40;
constexpr size_t kLinearHint = 128;  // longest usual IP and TCP headers

size_t little16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<size_t>(bytes[at] | bytes[at + 1] << 8U);
}

size_t big16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<size_t>(bytes[at] << 8U | bytes[at + 1]);
}

bool segmentation_is_sound(std::span<const uint8_t> frame, bool v6) {
  switch (frame[kGsoType] & ~kEcn) {
    case kGsoNone:
      return true;
    case kGsoTcp4:
      if (v6) return false;
      break;
    case kGsoTcp6:
      if (!v6) return false;
      break;
    case kGsoUdp:
      break;
    default:
      return false;
  }
  return (frame[kFlags] & kNeedsChecksum) != 0 && little16(frame, kGsoSize) != 0;
}

}  // namespace

std::optional<FrameEnds> frame_ends(std::span<const uint8_t> frame) {
  if (frame.size() < kVnetHeaderSize + kIpv4Header) return std::nullopt;
  const std::span<const uint8_t> packet = frame.subspan(kVnetHeaderSize);
  const int version = packet[0] >> 4U;
  if (version == 4) {
    const size_t header = size_t{packet[0] & 0xfU} * 4;
    if (header < kIpv4Header || header > packet.size() || big16(packet, 2) != packet.size())
      return std::nullopt;
    return FrameEnds{IpAddress::from_bytes(packet.subspan(12, 4)),
                     IpAddress::from_bytes(packet.subspan(16, 4))};
  }
  if (version != 6 || packet.size() < kIpv6Header ||
      big16(packet, 4) + kIpv6Header != packet.size())
    return std::nullopt;
  return FrameEnds{IpAddress::from_bytes(packet.subspan(8, 16)),
                   IpAddress::from_bytes(packet.subspan(24, 16))};
}

bool offloads_are_sound(std::span<const uint8_t> frame) {
  if (frame.size() <= kVnetHeaderSize) return false;
  const size_t packet = frame.size() - kVnetHeaderSize;
  const bool v6 = frame[kVnetHeaderSize] >> 4U == 6;
  if (little16(frame, kHeaderLength) > packet) return false;
  if ((frame[kFlags] & kNeedsChecksum) != 0 &&
      little16(frame, kChecksumStart) + little16(frame, kChecksumOffset) + 2 > packet)
    return false;
  return segmentation_is_sound(frame, v6);
}

void hint_header_length(std::span<uint8_t> frame) {
  if (little16(frame, kHeaderLength) != 0 || frame.size() < kVnetHeaderSize + kLinearHint) return;
  frame[kHeaderLength] = kLinearHint;
  frame[kHeaderLength + 1] = 0;
}

}  // namespace conode
