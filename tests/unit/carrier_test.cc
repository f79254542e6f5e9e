// SPDX-License-Identifier: Apache-2.0
// What carriers put on the wire and take from it: handshakes, records, datagrams, reassembly.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "netplug/carrier/datagram.h"
#include "netplug/carrier/reassembly.h"
#include "netplug/carrier/record.h"
#include "netplug/carrier/udp_handshakes.h"
#include "netplug/carrier/wire.h"
#include "tests/unit/carrier_fixture.h"

namespace conode::carrier {
namespace {

using test::fill;
using test::ipv4_frame;
using test::KeysOfBoth;
using test::session_keys;
using testing::ElementsAreArray;

const std::string kSecret(32, 's');

Handshake handshake_of(Rank rank, const std::string& secret = kSecret,
                       Protection protection = Protection::none, uint8_t carrier = 1) {
  return Handshake::create(secret, rank, protection, carrier).value();
}

HandshakeMessage hello() {
  return {.step = Step::hello, .lane = 1, .lanes = 2, .from = 1, .to = 0, .dialer = random_nonce()};
}

TEST(Handshake, BothSidesDeriveTheSameKeys) {
  HandshakeMessage message = hello();
  message.listener = random_nonce();
  const SessionKeys dialer = handshake_of(1).session(message, true).value();
  const SessionKeys listener = handshake_of(0).session(message, false).value();
  EXPECT_EQ(dialer.id, listener.id);
  EXPECT_EQ(dialer.send.tag, listener.receive.tag);
  EXPECT_EQ(dialer.receive.seal, listener.send.seal);
  EXPECT_NE(dialer.send.tag, dialer.receive.tag);
  EXPECT_NE(dialer.send.seal, dialer.receive.seal);
  const auto other = [&](auto change) {
    HandshakeMessage changed = message;
    change(changed);
    return handshake_of(1).session(changed, true).value().send.tag;
  };
  EXPECT_NE(other([](auto& m) { m.dialer[0] ^= 1; }), dialer.send.tag);
  EXPECT_NE(other([](auto& m) { m.listener[15] ^= 1; }), dialer.send.tag);
  EXPECT_NE(other([](auto& m) { m.lane = 0; }), dialer.send.tag);
}

TEST(Handshake, AMessageArrivesAsItWasSent) {
  const HandshakeMessage sent = hello();
  const auto received = handshake_of(0).decode(handshake_of(1).encode(sent).value());
  ASSERT_TRUE(received);
  EXPECT_EQ(received->step, Step::hello);
  EXPECT_EQ(received->from, 1U);
  EXPECT_EQ(received->lane, 1U);
  EXPECT_EQ(received->lanes, 2U);
  EXPECT_EQ(received->dialer, sent.dialer);
}

TEST(Handshake, EveryChangedBitIsNoticed) {
  const auto bytes = handshake_of(1).encode(hello()).value();
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    auto changed = bytes;
    changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ 1U << bit % 8);
    EXPECT_FALSE(handshake_of(0).decode(changed)) << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(handshake_of(0).decode(Bytes(bytes).first(size)));
}

TEST(Handshake, OthersAreNotUnderstood) {
  const auto bytes = handshake_of(1).encode(hello()).value();
  EXPECT_TRUE(handshake_of(0).decode(bytes));
  EXPECT_FALSE(handshake_of(0, std::string(32, 'x')).decode(bytes));
  EXPECT_FALSE(handshake_of(0, kSecret, Protection::aes_gcm).decode(bytes));
  EXPECT_FALSE(handshake_of(0, kSecret, Protection::none, 2).decode(bytes));
  EXPECT_FALSE(handshake_of(2).decode(bytes));
  EXPECT_FALSE(Handshake::create("tiny", 0, Protection::none, 1));
}

TEST(Handshake, SoundMessagesOnly) {
  HandshakeMessage bad_lane = hello();
  bad_lane.lane = 2;
  EXPECT_FALSE(handshake_of(0).decode(handshake_of(1).encode(bad_lane).value()));
  HandshakeMessage bad_step = hello();
  bad_step.step = static_cast<Step>(9);
  EXPECT_FALSE(handshake_of(0).decode(handshake_of(1).encode(bad_step).value()));
}

class Record : public testing::TestWithParam<Protection> {
 protected:
  std::vector<uint8_t> written(const std::vector<uint8_t>& frame) {
    FrameBuffer buffer;
    fill(buffer, frame);
    const std::span<uint8_t> wire = writer_.write(buffer);
    return {wire.begin(), wire.end()};
  }
  // Feeds at most `piece` bytes at a time; stops at a forgery.
  std::vector<std::vector<uint8_t>> read(std::span<const uint8_t> wire, size_t piece) {
    std::vector<std::vector<uint8_t>> frames;
    while (!wire.empty()) {
      const std::span<uint8_t> space = reader_.space();
      const size_t n = std::min({piece, space.size(), wire.size()});
      std::copy_n(wire.begin(), n, space.begin());
      reader_.received(n);
      wire = wire.subspan(n);
      for (;;) {
        const RecordReader::Next next = reader_.next();
        forged_ = forged_ || next.state == RecordReader::State::forged;
        if (next.state != RecordReader::State::frame) break;
        frames.emplace_back(next.frame.begin(), next.frame.end());
      }
      if (forged_) break;
    }
    return frames;
  }

  KeysOfBoth keys_ = session_keys(GetParam());
  RecordWriter writer_ = RecordWriter::create(keys_.dialer.send, GetParam()).value();
  RecordReader reader_ = RecordReader::create(keys_.listener.receive, GetParam()).value();
  bool forged_ = false;
};

INSTANTIATE_TEST_SUITE_P(Protections, Record,
                         testing::Values(Protection::none, Protection::aes_gcm));

TEST_P(Record, FramesOfAllSizesSurviveAnyCut) {
  for (const size_t piece : {size_t{1000}, size_t{65536}, size_t{1} << 20U}) {
    std::vector<uint8_t> wire;
    std::vector<std::vector<uint8_t>> sent;
    for (const size_t size : {size_t{31}, size_t{122}, size_t{1500}, size_t{65536}, kMaxFrame})
      for (const uint8_t filling : {uint8_t{1}, uint8_t{2}})
        sent.push_back(ipv4_frame(size, filling));
    for (const auto& frame : sent) {
      const std::vector<uint8_t> one = written(frame);
      wire.insert(wire.end(), one.begin(), one.end());
    }
    EXPECT_EQ(read(wire, piece), sent);
    EXPECT_FALSE(forged_);
  }
}

TEST_P(Record, BytesArriveOneByOne) {
  const std::vector<uint8_t> frame = ipv4_frame(200);
  EXPECT_THAT(read(written(frame), 1), testing::ElementsAre(frame));
}

TEST_P(Record, WhatTheTagCoversCannotBeChanged) {
  const std::vector<uint8_t> wire = written(ipv4_frame(kVnetHeaderSize + 90));
  for (size_t at = 0; at < wire.size(); ++at) {
    std::vector<uint8_t> changed = wire;
    changed[at] ^= 0x10;
    reader_ = RecordReader::create(keys_.listener.receive, GetParam()).value();
    forged_ = false;
    const auto frames = read(changed, changed.size());
    EXPECT_TRUE(frames.empty()) << at;
  }
}

TEST_P(Record, PayloadBeyondTheTagIsCoveredOnlyWithEncryption) {
  std::vector<uint8_t> wire = written(ipv4_frame(4000));
  wire[3000] ^= 1;
  EXPECT_EQ(read(wire, wire.size()).size(), GetParam() == Protection::none ? 1U : 0U);
}

TEST_P(Record, EncryptionHidesTheFrame) {
  const std::vector<uint8_t> frame = ipv4_frame(4000);
  const std::vector<uint8_t> wire = written(frame);
  const bool visible =
      std::search(wire.begin(), wire.end(), frame.begin() + 100, frame.begin() + 200) != wire.end();
  EXPECT_EQ(visible, GetParam() == Protection::none);
}

TEST_P(Record, ARepeatedOrLeftOutRecordIsForged) {
  const std::vector<uint8_t> first = written(ipv4_frame(100, 1));
  const std::vector<uint8_t> second = written(ipv4_frame(100, 2));
  EXPECT_EQ(read(second, second.size()).size(), 0U);
  EXPECT_TRUE(forged_);
  reader_ = RecordReader::create(keys_.listener.receive, GetParam()).value();
  forged_ = false;
  EXPECT_EQ(read(first, first.size()).size(), 1U);
  EXPECT_EQ(read(first, first.size()).size(), 0U);
  EXPECT_TRUE(forged_);
}

TEST_P(Record, TheOtherDirectionIsNoKey) {
  reader_ = RecordReader::create(keys_.listener.send, GetParam()).value();
  EXPECT_EQ(read(written(ipv4_frame(100)), 4096).size(), 0U);
  EXPECT_TRUE(forged_);
}

// A sender's datagrams for a frame.
std::vector<std::vector<uint8_t>> cut(const std::vector<uint8_t>& frame, uint64_t number,
                                      size_t chunk_size, const DirectionKeys& keys) {
  DatagramHeader header{.kind = DatagramKind::chunk,
                        .lane = 2,
                        .rank = 7,
                        .session = 99,
                        .frame = number,
                        .frame_length = static_cast<uint32_t>(frame.size()),
                        .chunk_size = static_cast<uint16_t>(chunk_size)};
  std::vector<std::vector<uint8_t>> datagrams;
  for (size_t i = 0; i < header.chunks(); ++i) {
    header.chunk = static_cast<uint8_t>(i);
    HeaderBytes bytes;
    encode(header, keys, bytes);
    std::vector<uint8_t>& one = datagrams.emplace_back(bytes.begin(), bytes.end());
    const auto from = frame.begin() + static_cast<ptrdiff_t>(header.offset());
    one.insert(one.end(), from, from + static_cast<ptrdiff_t>(header.payload()));
  }
  return datagrams;
}

class Datagrams : public testing::Test {
 protected:
  Reassembly::Outcome add(std::vector<uint8_t>& datagram) {
    const auto header = decode(datagram, keys_);
    EXPECT_TRUE(header);
    return frames_.add(*header, std::span(datagram).subspan(kDatagramHeader));
  }
  DirectionKeys keys_ = session_keys(Protection::none).dialer.send;
  Reassembly frames_;
};

TEST_F(Datagrams, EveryChangedBitOfAHeaderIsNoticed) {
  const std::vector<uint8_t> datagram = cut(ipv4_frame(500), 1, 300, keys_)[0];
  ASSERT_TRUE(decode(datagram, keys_));
  EXPECT_EQ(origin_of(datagram)->rank, 7);
  EXPECT_EQ(origin_of(datagram)->lane, 2);
  EXPECT_EQ(origin_of(datagram)->session, 99U);
  for (size_t bit = 0; bit < 8 * kDatagramHeader; ++bit) {
    std::vector<uint8_t> changed = datagram;
    changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ 1U << bit % 8);
    EXPECT_FALSE(decode(changed, keys_)) << bit;
  }
  EXPECT_FALSE(decode(std::span(datagram).first(kDatagramHeader), keys_));
  EXPECT_FALSE(decode(std::span(datagram).first(datagram.size() - 1), keys_));
  EXPECT_FALSE(origin_of(std::span(datagram).first(kDatagramHeader - 1)));
}

TEST_F(Datagrams, HeadersThatContradictThemselvesAreRefusedEvenIfAuthentic) {
  const DatagramHeader cases[] = {
      {.kind = DatagramKind::chunk, .frame = 0, .frame_length = 10, .chunk_size = 10},
      {.kind = DatagramKind::chunk, .frame = 1, .frame_length = 0, .chunk_size = 10},
      {.kind = DatagramKind::chunk, .frame = 1, .frame_length = 10, .chunk_size = 0},
      {.kind = DatagramKind::chunk, .frame = 1, .chunk = 1, .frame_length = 10, .chunk_size = 10},
      {.kind = DatagramKind::chunk, .frame = 1, .frame_length = 70'000, .chunk_size = 60'000},
      {.kind = DatagramKind::chunk, .frame = 1, .frame_length = 60'000, .chunk_size = 10},
      {.kind = DatagramKind::keep_alive, .frame = 1},
      {.kind = static_cast<DatagramKind>(0), .frame = 1, .frame_length = 10, .chunk_size = 10},
  };
  for (const DatagramHeader& header : cases) {
    HeaderBytes bytes;
    encode(header, keys_, bytes);
    std::vector<uint8_t> datagram(bytes.begin(), bytes.end());
    datagram.resize(kDatagramHeader + 10);
    EXPECT_FALSE(decode(datagram, keys_));
  }
}

TEST_F(Datagrams, AFrameComesBackWhateverTheOrder) {
  std::mt19937 random(7);
  for (uint64_t number = 1; number < 200; ++number) {
    const std::vector<uint8_t> frame =
        ipv4_frame(31 + random() % (kMaxFrame - 31), static_cast<uint8_t>(number));
    auto datagrams = cut(frame, number, 1440, keys_);
    std::shuffle(datagrams.begin(), datagrams.end(), random);
    for (size_t i = 0; i < datagrams.size(); ++i) {
      const Reassembly::Outcome outcome = add(datagrams[i]);
      ASSERT_EQ(outcome.state, i + 1 == datagrams.size() ? Reassembly::State::complete
                                                         : Reassembly::State::waiting);
      if (i + 1 == datagrams.size()) {
        ASSERT_THAT(outcome.frame, ElementsAreArray(frame));
      }
    }
    EXPECT_EQ(add(datagrams[0]).state, Reassembly::State::stale);
  }
}

TEST_F(Datagrams, DuplicatesCountOnce) {
  auto datagrams = cut(ipv4_frame(3000), 5, 1440, keys_);
  EXPECT_EQ(add(datagrams[0]).state, Reassembly::State::waiting);
  EXPECT_EQ(add(datagrams[0]).state, Reassembly::State::stale);
  EXPECT_EQ(add(datagrams[1]).state, Reassembly::State::waiting);
  EXPECT_EQ(add(datagrams[2]).state, Reassembly::State::complete);
  EXPECT_EQ(add(datagrams[1]).state, Reassembly::State::stale);
  auto single = cut(ipv4_frame(100), 6, 1440, keys_);
  EXPECT_EQ(add(single[0]).state, Reassembly::State::complete);
  EXPECT_EQ(add(single[0]).state, Reassembly::State::stale);
}

TEST_F(Datagrams, AnIncompleteFrameMakesRoomAWindowLater) {
  auto lost = cut(ipv4_frame(3000), 5, 1440, keys_);
  EXPECT_EQ(add(lost[0]).state, Reassembly::State::waiting);
  auto late = cut(ipv4_frame(100), 5 + Reassembly::kWindow - 1, 1440, keys_);
  EXPECT_FALSE(add(late[0]).gave_up);
  auto next = cut(ipv4_frame(3000), 5 + Reassembly::kWindow, 1440, keys_);
  EXPECT_TRUE(add(next[0]).gave_up);
  EXPECT_EQ(add(lost[1]).state, Reassembly::State::stale);
  EXPECT_EQ(add(next[1]).state, Reassembly::State::waiting);
  EXPECT_EQ(add(next[2]).state, Reassembly::State::complete);
}

TEST_F(Datagrams, ChunksOfAnotherCutDoNotMix) {
  auto first = cut(ipv4_frame(3000), 5, 1440, keys_);
  auto second = cut(ipv4_frame(3000), 5, 1000, keys_);
  EXPECT_EQ(add(first[0]).state, Reassembly::State::waiting);
  EXPECT_EQ(add(second[1]).state, Reassembly::State::stale);
}

// Two ends with a wire that can lose messages, in a time of its own.
class UdpHandshakesTest : public testing::Test {
 protected:
  struct End {
    UdpHandshakes handshakes;
    bool live = false;
    bool heard = false;
    int sessions = 0;
  };
  void pass(End& from, End& to, const UdpHandshakes::Actions& actions) {
    if (actions.end) from.live = false;
    if (actions.session) {
      from.live = true;
      ++from.sessions;
    }
    if (actions.keep_alive && from.live && to.live && !lose_) to.heard = true;
    if (actions.send && !lose_) pass(to, from, to.handshakes.handle(*actions.send, now_));
  }
  void run(std::chrono::milliseconds time) {
    for (const auto end = now_ + time; now_ < end; now_ += std::chrono::milliseconds(10))
      for (auto [from, to] : {std::pair(&dialer_, &listener_), {&listener_, &dialer_}})
        pass(*from, *to,
             from->handshakes.tick(now_, from->live, std::exchange(from->heard, false), 1));
  }
  UdpHandshakes::Clock::time_point now_ = UdpHandshakes::Clock::now();
  bool lose_ = false;
  End dialer_{UdpHandshakes(1, 0, 0)};
  End listener_{UdpHandshakes(0, 1, 0)};
};

TEST_F(UdpHandshakesTest, MakesOneSessionAndKeepsIt) {
  run(std::chrono::seconds(30));
  EXPECT_TRUE(dialer_.live && listener_.live);
  EXPECT_EQ(dialer_.sessions, listener_.sessions);
  EXPECT_LE(dialer_.sessions, 2);
}

TEST_F(UdpHandshakesTest, SilenceEndsTheSessionAndItComesBack) {
  run(std::chrono::seconds(3));
  lose_ = true;
  run(std::chrono::seconds(7));
  EXPECT_FALSE(dialer_.live || listener_.live);
  lose_ = false;
  run(std::chrono::seconds(3));
  EXPECT_TRUE(dialer_.live && listener_.live);
}

TEST_F(UdpHandshakesTest, ARestartedListenerKnocks) {
  run(std::chrono::seconds(3));
  const int before = dialer_.sessions;
  listener_ = {UdpHandshakes(0, 1, 0)};
  run(std::chrono::milliseconds(200));  // long before silence is noticed
  EXPECT_TRUE(dialer_.live && listener_.live);
  EXPECT_EQ(dialer_.sessions, before + 1);
}

TEST_F(UdpHandshakesTest, ARestartedDialerIsAnswered) {
  run(std::chrono::seconds(3));
  dialer_ = {UdpHandshakes(1, 0, 0)};
  run(std::chrono::milliseconds(200));
  EXPECT_TRUE(dialer_.live && listener_.live);
}

TEST_F(UdpHandshakesTest, AnOldAnswerIsNotHeeded) {
  run(std::chrono::seconds(1));
  const HandshakeMessage old{.step = Step::answer, .from = 0, .to = 1, .dialer = random_nonce()};
  EXPECT_FALSE(dialer_.handshakes.handle(old, now_).session);
  const HandshakeMessage confirm{.step = Step::confirm, .from = 1, .to = 0};
  EXPECT_FALSE(listener_.handshakes.handle(confirm, now_).session);
}

}  // namespace
}  // namespace conode::carrier
