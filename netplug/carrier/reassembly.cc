// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/reassembly.h"

#include <cstring>

namespace conode::carrier {
namespace {

constexpr size_t kMaxSpare = 4;

}  // namespace

Reassembly::Outcome Reassembly::add(const DatagramHeader& header, std::span<uint8_t> payload) {
  if (delivered_ && spare_.size() < kMaxSpare) spare_.push_back(std::move(delivered_));
  delivered_.reset();
  Slot& slot = slots_[header.frame % kWindow];
  if (header.frame < slot.frame) return {.state = State::stale};
  if (header.frame > slot.frame) return begin(slot, header, payload);
  if (slot.done || slot.length != header.frame_length || slot.chunk_size != header.chunk_size ||
      slot.have[header.chunk])
    return {.state = State::stale};
  return join(slot, header, payload);
}

Reassembly::Outcome Reassembly::begin(Slot& slot, const DatagramHeader& header,
                                      std::span<uint8_t> payload) {
  const bool gave_up = !slot.done;
  slot.frame = header.frame;
  slot.done = header.chunks() == 1;
  if (slot.done) {
    release(slot);
    return {State::complete, payload, gave_up};
  }
  slot.length = header.frame_length;
  slot.chunk_size = header.chunk_size;
  slot.missing = header.chunks();
  slot.have.reset();
  if (!slot.bytes && !spare_.empty()) {
    slot.bytes = std::move(spare_.back());
    spare_.pop_back();
  }
  if (!slot.bytes) slot.bytes = std::make_unique_for_overwrite<uint8_t[]>(kMaxSealedFrame);
  Outcome outcome = join(slot, header, payload);
  outcome.gave_up = gave_up;
  return outcome;
}

Reassembly::Outcome Reassembly::join(Slot& slot, const DatagramHeader& header,
                                     std::span<uint8_t> payload) {
  std::memcpy(slot.bytes.get() + header.offset(), payload.data(), payload.size());
  slot.have.set(header.chunk);
  if (--slot.missing > 0) return {};
  slot.done = true;
  delivered_ = std::move(slot.bytes);
  return {State::complete, {delivered_.get(), slot.length}, false};
}

void Reassembly::release(Slot& slot) {
  if (slot.bytes && spare_.size() < kMaxSpare) spare_.push_back(std::move(slot.bytes));
  slot.bytes.reset();
}

}  // namespace conode::carrier
