// SPDX-License-Identifier: Apache-2.0
// Keys, sealed datagrams and envelopes: what is accepted, and all that is not.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "agent/base/unique_fd.h"
#include "agent/bus/codec.h"
#include "agent/bus/keys.h"
#include "agent/bus/rendezvous.h"

namespace conode::bus {
namespace {

using wire::Envelope;

constexpr uint32_t kSize = 10;

std::optional<Envelope> decoded(const std::function<void(Envelope&)>& fill) {
  Envelope envelope;
  envelope.set_origin(3);
  envelope.set_sequence(1);
  fill(envelope);
  return decode_envelope(envelope.SerializeAsString(), kSize);
}

TEST(Keys, SameSecretSameKeys) {
  const Secret secret = Secret::random();
  const Secret again = *Secret::from_bytes(secret.bytes());
  EXPECT_EQ(server_keys(secret).public_key, server_keys(again).public_key);
  EXPECT_EQ(client_keys(secret, 7).public_key, client_keys(again, 7).public_key);
  EXPECT_NE(client_keys(secret, 7).public_key, client_keys(secret, 8).public_key);
  EXPECT_NE(server_keys(secret).public_key, server_keys(Secret::random()).public_key);
}

TEST(Keys, ASecretHas32Bytes) {
  EXPECT_FALSE(Secret::from_bytes("short"));
  EXPECT_FALSE(Secret::from_bytes(std::string(33, 'x')));
}

TEST(Keys, ASecretIsReadFromAPipe) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const std::string bytes(32, 'k');
  ASSERT_EQ(::write(write_end.get(), bytes.data(), 32), 32);
  EXPECT_EQ(Secret::read(read_end.get())->bytes(), bytes);
  ASSERT_EQ(::write(write_end.get(), bytes.data(), 31), 31);
  write_end.reset();
  const auto cut = Secret::read(read_end.get());
  ASSERT_FALSE(cut);
  EXPECT_NE(cut.error().message().find("31 of 32"), std::string::npos);
  EXPECT_FALSE(Secret::read(-1));
}

TEST(Keys, TheRingKnowsItsOwnersOnly) {
  const Secret secret = Secret::random();
  Keyring ring(secret, kSize);
  EXPECT_EQ(ring.owner(client_keys(secret, 9).public_key), 9U);
  EXPECT_EQ(ring.owner(client_keys(secret, 10).public_key), std::nullopt);
  EXPECT_EQ(ring.owner(client_keys(Secret::random(), 1).public_key), std::nullopt);
  EXPECT_EQ(ring.client(4).secret_key, client_keys(secret, 4).secret_key);
}

TEST(Keys, ASealedBoxOpensWithItsKeyOnly) {
  const Key key = Secret::random().derive("a");
  const std::string sealed = seal(key, "hello");
  EXPECT_EQ(unseal(key, sealed), "hello");
  EXPECT_NE(sealed, seal(key, "hello"));  // another nonce
  EXPECT_EQ(unseal(Secret::random().derive("a"), sealed), std::nullopt);
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_EQ(unseal(key, changed), std::nullopt) << i;
    EXPECT_EQ(unseal(key, sealed.substr(0, i)), std::nullopt) << i;
  }
}

TEST(Codec, TakesAnEnvelopeOfEachKind) {
  EXPECT_TRUE(decoded([](Envelope& e) { e.mutable_attach()->set_epoch(1); }));
  EXPECT_TRUE(decoded([](Envelope& e) { e.mutable_welcome(); }));
  EXPECT_TRUE(decoded([](Envelope& e) { e.mutable_heartbeat(); }));
  EXPECT_TRUE(decoded([](Envelope& e) { e.mutable_report(); }));
  EXPECT_TRUE(decoded([](Envelope& e) {
    e.mutable_downward()->set_to(kEveryone);
    e.mutable_downward()->set_sequence(1);
  }));
}

TEST(Codec, RefusesBytesThatAreNoEnvelope) {
  EXPECT_FALSE(decode_envelope("", kSize));
  EXPECT_FALSE(decode_envelope("GET / HTTP/1.1\r\n\r\n", kSize));
  EXPECT_FALSE(decode_envelope(std::string(100, '\xff'), kSize));
  EXPECT_FALSE(decoded([](Envelope&) {}));  // no body
}

TEST(Codec, RefusesRanksOutsideTheJob) {
  EXPECT_FALSE(decoded([](Envelope& e) {
    e.mutable_heartbeat();
    e.set_origin(kSize);
  }));
  EXPECT_FALSE(decoded([](Envelope& e) { e.mutable_report()->add_hellos()->set_rank(kSize); }));
  EXPECT_FALSE(decoded([](Envelope& e) {
    e.mutable_downward()->set_to(kSize);
    e.mutable_downward()->set_sequence(1);
  }));
  EXPECT_FALSE(decoded([](Envelope& e) {
    auto& range = *e.mutable_report()->mutable_readiness()->mutable_ready()->add_ranges();
    range.set_first(1);
    range.set_last(kSize);
  }));
}

TEST(Codec, RefusesAMemberAboveItsParent) {
  EXPECT_FALSE(decoded([](Envelope& e) {
    e.mutable_report()->add_attached()->set_rank(3);
    e.mutable_report()->mutable_attached(0)->set_parent(3);  // a walk upwards would never end
  }));
}

TEST(Codec, RefusesNumbersThatMeanNothing) {
  EXPECT_FALSE(decoded([](Envelope& e) {
    e.mutable_heartbeat();
    e.set_sequence(0);
  }));
  EXPECT_FALSE(decoded([](Envelope& e) { e.mutable_attach(); }));  // epoch 0
  EXPECT_FALSE(decoded([](Envelope& e) { e.mutable_downward(); }));
}

TEST(Codec, RefusesFilesThatLeaveTheirDirectory) {
  const auto offer = [](const std::string& name, uint32_t piece, const std::string& sum) {
    return decoded([&](Envelope& e) {
      e.mutable_file_offer()->set_name(name);
      e.mutable_file_offer()->set_piece_size(piece);
      e.mutable_file_offer()->set_sha256(sum);
    });
  };
  const std::string sum(64, 'a');
  EXPECT_TRUE(offer("image.tar", kPieceSize, sum));
  for (const std::string name : {"", ".", "..", "a/b", "../passwd", "/etc/passwd"})
    EXPECT_FALSE(offer(name, kPieceSize, sum)) << name;
  EXPECT_FALSE(offer(std::string("a\0b", 3), kPieceSize, sum));
  EXPECT_FALSE(offer("a", 0, sum));
  EXPECT_FALSE(offer("a", kMostPieceSize + 1, sum));
  EXPECT_FALSE(offer("a", kPieceSize, "abc"));
  EXPECT_FALSE(offer("a", kPieceSize, std::string(64, 'X')));
}

TEST(Codec, Endpoints) {
  EXPECT_TRUE(is_endpoint("tcp://10.0.0.1:4711"));
  EXPECT_TRUE(is_endpoint("tcp://[fe80::1]:1"));
  for (const std::string bad : {"", "tcp://", "tcp://:1", "udp://a:1", "tcp://a", "tcp://a:0",
                                "tcp://a:65536", "tcp://a:1x", "ipc:///tmp/x"})
    EXPECT_FALSE(is_endpoint(bad)) << bad;
  EXPECT_EQ(datagram_endpoint("tcp://[::1]:9")->address().to_string(), "::1");
  EXPECT_FALSE(datagram_endpoint("tcp://name:9"));  // numeric only: nothing is looked up
}

TEST(Codec, DatagramsOfTheRendezvous) {
  const Key key = Secret::random().derive("rendezvous");
  wire::Datagram datagram;
  datagram.mutable_ask()->set_rank(4);
  EXPECT_EQ(decode_datagram(encode_datagram(datagram, key), key, kSize)->ask().rank(), 4U);
  EXPECT_FALSE(
      decode_datagram(encode_datagram(datagram, key), Secret::random().derive("x"), kSize));
  datagram.mutable_ask()->set_rank(kSize);
  EXPECT_FALSE(decode_datagram(encode_datagram(datagram, key), key, kSize));
  datagram.mutable_ask()->set_rank(4);
  datagram.mutable_ask()->set_endpoint("nonsense");
  EXPECT_FALSE(decode_datagram(encode_datagram(datagram, key), key, kSize));
  EXPECT_FALSE(decode_datagram(seal(key, "garbage"), key, kSize));
  EXPECT_FALSE(decode_datagram(std::string(kMostDatagram + 1, 'x'), key, kSize));
}

}  // namespace
}  // namespace conode::bus
