// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/record.h"

#include <algorithm>
#include <cstring>

#include "netplug/carrier/wire.h"

namespace conode::carrier {
namespace {

constexpr uint32_t kFrame = 1;
constexpr size_t kTagAt = 8;
constexpr size_t kCovered = 112;

uint64_t record_tag(const DirectionKeys& keys, uint64_t sequence, Bytes header, Bytes body) {
  std::array<uint8_t, sizeof sequence + kTagAt + kCovered> text;
  const size_t covered = std::min(kCovered, body.size());
  store(text, 0, sequence);
  std::memcpy(text.data() + sizeof sequence, header.data(), kTagAt);
  std::memcpy(text.data() + sizeof sequence + kTagAt, body.data(), covered);
  return tag(keys, Bytes(text).first(sizeof sequence + kTagAt + covered));
}

Result<std::optional<Sealer>> sealer_for(const DirectionKeys& keys, Protection protection,
                                         bool encrypt) {
  if (protection == Protection::none) return std::optional<Sealer>();
  return std::optional<Sealer>(TRY(Sealer::create(keys.seal, encrypt)));
}

}  // namespace

Result<RecordWriter> RecordWriter::create(const DirectionKeys& keys, Protection protection) {
  RecordWriter made;
  made.keys_ = keys;
  made.sealer_ = TRY(sealer_for(keys, protection, true));
  return made;
}

std::span<uint8_t> RecordWriter::write(FrameBuffer& frame) {
  const size_t body = frame.size() + (sealer_ ? kSealSize : 0);
  const std::span<uint8_t> wire(frame.data() - kRecordHeader, kRecordHeader + body);
  store(wire, 0, static_cast<uint32_t>(body));
  store(wire, 4, kFrame);
  if (sealer_ && !sealer_->seal(sequence_, wire.first(kTagAt), frame.bytes())) return {};
  store(wire, kTagAt, record_tag(keys_, sequence_, wire, wire.subspan(kRecordHeader)));
  ++sequence_;
  return wire;
}

Result<RecordReader> RecordReader::create(const DirectionKeys& keys, Protection protection) {
  RecordReader made;
  made.keys_ = keys;
  made.sealer_ = TRY(sealer_for(keys, protection, false));
  return made;
}

std::span<uint8_t> RecordReader::space() {
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.get() + end_, kCapacity - end_};
}

RecordReader::Next RecordReader::next() {
  const std::span<uint8_t> have(buffer_.get() + begin_, end_ - begin_);
  if (have.size() < kRecordHeader) return {};
  const size_t seal = sealer_ ? kSealSize : 0;
  const size_t body = load<uint32_t>(have, 0);
  if (load<uint32_t>(have, 4) != kFrame || body <= seal || body > kMaxFrame + seal)
    return {.state = State::forged};
  if (have.size() < kRecordHeader + body) return {};
  const std::span<uint8_t> text = have.subspan(kRecordHeader, body);
  if (load<uint64_t>(have, kTagAt) != record_tag(keys_, sequence_, have, text))
    return {.state = State::forged};
  if (sealer_ && !sealer_->open(sequence_, have.first(kTagAt), text.first(body - seal)))
    return {.state = State::forged};
  ++sequence_;
  begin_ += kRecordHeader + body;
  return {State::frame, text.first(body - seal)};
}

}  // namespace conode::carrier
