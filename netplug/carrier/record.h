// SPDX-License-Identifier: Apache-2.0
// How frames lie in a TCP carrier's stream: a header of 16 bytes, the frame, with AES-GCM its seal.
// No input or output here. The tag covers the record's place in the stream, its length and its
// first bytes, so a record cannot be made, repeated, moved or cut by who lacks the session's key.
//
//   0  length of what follows the header   u32
//   4  kind: 1 = frame                     u32
//   8  SipHash of (sequence, length, kind, first 112 bytes)
//
// One thread at a time each.
#pragma once

#include <optional>
#include <vector>

#include "netplug/carrier/frame.h"
#include "netplug/carrier/session_keys.h"

namespace conode::carrier {

inline constexpr size_t kRecordHeader = 16;
static_assert(kRecordHeader <= FrameBuffer::kHeadroom && kSealSize <= FrameBuffer::kTailroom);

class RecordWriter {
 public:
  [[nodiscard]] static Result<RecordWriter> create(const DirectionKeys& keys,
                                                   Protection protection);
  // The bytes to send, inside `frame`, whose content is consumed. Every record that is made must be
  // sent, in order. Empty where sealing failed.
  [[nodiscard]] std::span<uint8_t> write(FrameBuffer& frame);

 private:
  DirectionKeys keys_;
  std::optional<Sealer> sealer_;
  uint64_t sequence_ = 0;
};

class RecordReader {
 public:
  [[nodiscard]] static Result<RecordReader> create(const DirectionKeys& keys,
                                                   Protection protection);

  // Where the next bytes of the stream go; never empty after next() has said `more`.
  [[nodiscard]] std::span<uint8_t> space();
  void received(size_t bytes) { end_ += bytes; }

  enum class State { frame, more, forged };
  struct Next {
    State state = State::more;
    std::span<uint8_t> frame;  // valid until space()
  };
  // Call until it says `more`; after `forged` the stream is of no use.
  [[nodiscard]] Next next();

 private:
  static constexpr size_t kCapacity = 256U << 10U;

  DirectionKeys keys_;
  std::optional<Sealer> sealer_;
  uint64_t sequence_ = 0;
  std::unique_ptr<uint8_t[]> buffer_ = std::make_unique_for_overwrite<uint8_t[]>(kCapacity);
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace conode::carrier
