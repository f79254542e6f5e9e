// SPDX-License-Identifier: Apache-2.0
// The unit that a relay carries: what one read(2) of a TUN queue with IFF_VNET_HDR gives, a
// virtio_net_hdr (little endian, TUNSETVNETLE) and an IP packet of up to 64 KiB, which may be a TCP
// or UDP super-packet that nobody has segmented yet and whose checksum nobody has computed yet.
// Source: kernel Documentation/networking/tuntap.rst; virtio 1.2, section 5.1.6.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "netplug/carrier/address_plan.h"

namespace conode {

inline constexpr size_t kVnetHeaderSize = 10;  // struct virtio_net_hdr without num_buffers
inline constexpr size_t kMaxPacket = 65535;
inline constexpr size_t kMaxFrame = kVnetHeaderSize + kMaxPacket;

// A frame with room before and after it, so that a carrier adds its header and tag in place.
class FrameBuffer {
 public:
  static constexpr size_t kHeadroom = 64;
  static constexpr size_t kTailroom = 16;

  [[nodiscard]] uint8_t* data() { return storage_.get() + kHeadroom; }
  [[nodiscard]] size_t size() const { return size_; }
  void resize(size_t size) { size_ = size; }
  [[nodiscard]] std::span<uint8_t> bytes() { return {data(), size_}; }

 private:
  static constexpr size_t kCapacity = kHeadroom + kMaxFrame + kTailroom;
  std::unique_ptr<uint8_t[]> storage_ = std::make_unique<uint8_t[]>(kCapacity);
  size_t size_ = 0;
};

struct FrameEnds {
  IpAddress source;
  IpAddress destination;
};

// Addresses of the packet in `frame`; empty for what is no whole IPv4 or IPv6 packet.
[[nodiscard]] std::optional<FrameEnds> frame_ends(std::span<const uint8_t> frame);

// Is the virtio_net_hdr one that a TUN of ours can have made for this packet? Offsets lie inside,
// the segmentation is a known one of the packet's family.
[[nodiscard]] bool offloads_are_sound(std::span<const uint8_t> frame);

// Tells the kernel to keep only the protocol headers linear: without a hint, older kernels look for
// 64 KiB of contiguous memory for each frame (tun_alloc_skb(), before Linux 6.6).
void hint_header_length(std::span<uint8_t> frame);

}  // namespace conode
