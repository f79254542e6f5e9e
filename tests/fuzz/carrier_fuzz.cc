// SPDX-License-Identifier: Apache-2.0
// libFuzzer target of everything that a carrier reads from a network: handshakes, records and
// datagrams. The first byte chooses the reader and whether the bytes are made authentic first, as a
// node of the job that is out of its mind would.
//   cmake --preset fuzz && cmake --build --preset fuzz
//   build/fuzz/tests/carrier_fuzz -max_total_time=60
#include <algorithm>
#include <cstdlib>

#include "netplug/carrier/datagram.h"
#include "netplug/carrier/frame.h"
#include "netplug/carrier/handshake.h"
#include "netplug/carrier/reassembly.h"
#include "netplug/carrier/record.h"
#include "netplug/carrier/wire.h"

namespace {

using conode::carrier::Bytes;
using conode::carrier::DirectionKeys;
using conode::carrier::Protection;

void require(bool condition) {
  if (!condition) std::abort();
}

void read_frame(std::span<uint8_t> frame) {
  (void)conode::frame_ends(frame);
  if (conode::offloads_are_sound(frame)) conode::hint_header_length(frame);
}

void read_records(Bytes bytes, Protection protection) {
  auto reader = conode::carrier::RecordReader::create(DirectionKeys{}, protection).value();
  while (!bytes.empty()) {
    const std::span<uint8_t> space = reader.space();
    require(!space.empty());
    const size_t n = std::min({bytes.size(), space.size(), size_t{1} + bytes[0] * size_t{257}});
    std::copy_n(bytes.begin(), n, space.begin());
    reader.received(n);
    bytes = bytes.subspan(n);
    auto next = reader.next();
    for (; next.state == conode::carrier::RecordReader::State::frame; next = reader.next())
      read_frame(next.frame);
    if (next.state == conode::carrier::RecordReader::State::forged) return;
  }
}

// Datagrams of 1 + (first byte) bytes, with the right tag.
void read_datagrams(Bytes bytes, bool authentic) {
  conode::carrier::Reassembly frames;
  const DirectionKeys keys;
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), size_t{1} + bytes[0]);
    std::vector<uint8_t> datagram(bytes.begin() + 1, bytes.begin() + static_cast<ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    if (authentic && datagram.size() >= conode::carrier::kDatagramHeader)
      conode::carrier::store(std::span<uint8_t>(datagram), 24,
                             conode::carrier::tag(keys, Bytes(datagram).first(24)));
    (void)conode::carrier::origin_of(datagram);
    const auto header = conode::carrier::decode(datagram, keys);
    if (!header || header->kind != conode::carrier::DatagramKind::chunk) continue;
    const auto outcome =
        frames.add(*header, std::span<uint8_t>(datagram).subspan(conode::carrier::kDatagramHeader));
    if (outcome.state == conode::carrier::Reassembly::State::complete) {
      require(outcome.frame.size() == header->frame_length);
      read_frame(outcome.frame);
    }
  }
}

void read_handshake(Bytes bytes) {
  static const auto handshake =
      conode::carrier::Handshake::create(std::string(32, 's'), 3, Protection::none, 1).value();
  const auto message = handshake.decode(bytes);
  if (message) require(message->lane < message->lanes && message->to == 3);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes rest(data + 1, size - 1);
  std::vector<uint8_t> copy(rest.begin(), rest.end());
  switch (data[0] % 6) {
    case 0:
      read_handshake(rest);
      break;
    case 1:
      read_records(rest, Protection::none);
      break;
    case 2:
      read_records(rest, Protection::aes_gcm);
      break;
    case 3:
      read_datagrams(rest, false);
      break;
    case 4:
      read_datagrams(rest, true);
      break;
    default:
      read_frame(copy);
  }
  return 0;
}
