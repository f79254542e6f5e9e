// SPDX-License-Identifier: Apache-2.0
// The bus among enemies: who has not the job's secret gets nothing and disturbs nobody, and who has
// it (an agent gone wrong) is caught at what it forges and repeats. All of it is counted.
#include <gmock/gmock.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/write.hpp>

#include "agent/bus/codec.h"
#include "agent/bus/identity.h"
#include "agent/bus/links.h"
#include "tests/kernel/bus_fixture.h"

namespace conode::bus {
namespace {

namespace asio = boost::asio;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using wire::Envelope;

constexpr std::chrono::milliseconds kAWhile{400};

// Rank 0 of three with rank 1; nobody is rank 2.
class BusIntruderTest : public BusTest {
 protected:
  void SetUp() override {
    BusTest::SetUp();
    make({.size = 3, .arity = 2, .timing = quick()});
    ASSERT_TRUE(world_->start(kRoot));
    ASSERT_TRUE(world_->start(1));
    ASSERT_TRUE(wait_for([&] { return count<Joined>(kRoot) == 1; }));
  }
  void TearDown() override {
    intruder_.reset();
    own_context_.reset();
    BusTest::TearDown();
  }

  void connect(const Secret& secret, uint32_t size, Rank rank) {
    own_context_ = Context::create(world_->loop().get_executor(), secret, {.size = size}).value();
    intruder_ = Uplink::connect(world_->loop().get_executor(), *own_context_, rank, kEpoch,
                                root().endpoint(), std::chrono::milliseconds(1500), [] {})
                    .value();
  }
  // With the job's secret, as rank 2, and attached.
  void break_in() {
    connect(world_->secret(), 3, 2);
    ASSERT_TRUE(wait_for([&] { return intruder_->connected(); }));
    Envelope attach;
    attach.mutable_attach()->set_epoch(kEpoch);
    ASSERT_TRUE(intruder_->send(identity_.encode(attach)));
    ASSERT_TRUE(wait_for([&] { return has_answer(); }));
  }
  bool has_answer() {
    std::optional<Packet> packet = intruder_->receive();
    if (!packet) return false;
    const auto envelope = decode_envelope(packet->envelope.to_string_view(), 3);
    return envelope && envelope->has_welcome();
  }
  static Envelope saying(const std::string& text, uint64_t sequence) {
    Envelope envelope;
    wire::Upward& upward = *envelope.mutable_report()->add_messages();
    upward.set_rank(2);
    upward.set_sequence(sequence);
    *upward.mutable_message() = BusTest::text(text);
    return envelope;
  }
  // The job goes on as if nothing had been.
  void expect_undisturbed() {
    ASSERT_TRUE(root().send_to(1, text("still here")));
    EXPECT_TRUE(wait_for([&] { return count<Received>(1) == 1; }));
    EXPECT_EQ(count<Lost>(kRoot), 0U);
  }

  static constexpr uint64_t kEpoch = 5;
  std::shared_ptr<Context> own_context_;
  std::shared_ptr<Uplink> intruder_;
  Identity identity_{2, 0};
};

TEST_F(BusIntruderTest, AStrangerWithAnotherSecretGetsNothing) {
  connect(Secret::random(), 3, 2);
  EXPECT_TRUE(wait_for([&] { return root().counters().strangers > 0; }));
  EXPECT_FALSE(intruder_->connected());
  EXPECT_FALSE(intruder_->send("let me in"));
  EXPECT_FALSE(intruder_->receive());
  EXPECT_EQ(root().awaited().text(), "2");
  expect_undisturbed();
}

TEST_F(BusIntruderTest, AKeyOfNoRankIsRefusedAtTheGate) {
  connect(world_->secret(), 100, 99);  // knows the server's key, but the job has three agents
  EXPECT_TRUE(wait_for([&] { return world_->context().refused() > 0; }));
  EXPECT_FALSE(wait_for([&] { return intruder_->connected(); }, kAWhile));
  EXPECT_GT(root().counters().strangers, 0U);
  expect_undisturbed();
}

TEST_F(BusIntruderTest, RawGarbageOnThePort) {
  const auto at = datagram_endpoint(root().endpoint()).value();
  std::vector<asio::ip::tcp::socket> sockets;
  const std::array<std::string, 4> garbage{
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n", std::string(100000, '\xff'), std::string(64, '\0'),
      // A ZMTP 3.1 greeting (RFC 37) without encryption.
      std::string("\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL", 16) + std::string(48, '\0')};
  // What says too little to be refused at once goes when libzmq's handshake time is over.
  for (const std::string& bytes : garbage) {
    sockets.emplace_back(world_->loop());
    boost::system::error_code error;
    (void)sockets.back().connect({at.address(), at.port()}, error);
    ASSERT_FALSE(error) << error.message();
    asio::write(sockets.back(), asio::buffer(bytes), error);
  }
  EXPECT_TRUE(wait_for([&] { return root().counters().strangers >= 2; }))
      << root().counters().strangers;
  sockets.clear();
  expect_undisturbed();
}

TEST_F(BusIntruderTest, AMessageThatComesTwiceIsTakenOnce) {
  break_in();
  Envelope envelope = saying("once", 1);
  const std::string bytes = identity_.encode(envelope);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(intruder_->send(bytes));
  EXPECT_TRUE(wait_for([&] { return root().counters().replayed == 4 && !texts(kRoot).empty(); }));
  EXPECT_THAT(texts(kRoot), ElementsAre("once"));
}

TEST_F(BusIntruderTest, TheSameMessageInANewEnvelopeIsTakenOnceToo) {
  break_in();
  for (int i = 0; i < 3; ++i) {
    Envelope envelope = saying("once", 1);
    ASSERT_TRUE(intruder_->send(identity_.encode(envelope)));
  }
  EXPECT_TRUE(wait_for([&] { return root().counters().replayed == 2 && !texts(kRoot).empty(); }));
  EXPECT_THAT(texts(kRoot), ElementsAre("once"));
}

TEST_F(BusIntruderTest, AForgedSenderIsFound) {
  break_in();
  Identity other(1, 0);  // the connection's key is rank 2's
  Envelope envelope = saying("I am 1", 1);
  ASSERT_TRUE(intruder_->send(other.encode(envelope)));
  EXPECT_TRUE(wait_for([&] { return root().counters().forged == 1; }));
  EXPECT_THAT(texts(kRoot), IsEmpty());
  expect_undisturbed();
}

TEST_F(BusIntruderTest, GarbageInsideTheTunnelIsCounted) {
  break_in();
  for (const std::string bytes : {"", "x", "\xff\xff\xff\xff"}) ASSERT_TRUE(intruder_->send(bytes));
  EXPECT_TRUE(wait_for([&] { return root().counters().garbage == 3; }));
  expect_undisturbed();
}

TEST_F(BusIntruderTest, MessagesOfAnotherSessionAreDropped) {
  break_in();
  Identity old(2, 1234567);
  Envelope envelope = saying("from yesterday", 1);
  ASSERT_TRUE(intruder_->send(old.encode(envelope)));
  EXPECT_TRUE(wait_for([&] { return root().counters().foreign == 1; }));
  EXPECT_THAT(texts(kRoot), IsEmpty());
}

TEST_F(BusIntruderTest, WhoIsNotAttachedIsNotHeard) {
  connect(world_->secret(), 3, 2);
  ASSERT_TRUE(wait_for([&] { return intruder_->connected(); }));
  Envelope envelope = saying("no attach before", 1);
  ASSERT_TRUE(intruder_->send(identity_.encode(envelope)));
  EXPECT_TRUE(wait_for([&] { return root().counters().unexpected == 1; }));
  EXPECT_THAT(texts(kRoot), IsEmpty());
}

TEST_F(BusIntruderTest, DatagramsWithoutTheKeyGetNoAnswer) {
  const auto at = datagram_endpoint(root().endpoint()).value();
  asio::ip::udp::socket socket(world_->loop(), asio::ip::udp::v4());
  wire::Datagram ask;
  ask.mutable_ask()->set_rank(2);
  ask.mutable_ask()->set_stamp(100);
  const Key key = world_->secret().derive("conode bus rendezvous");
  const auto send = [&](const std::string& bytes) { socket.send_to(asio::buffer(bytes), at); };
  const auto answered = [&] { return socket.available() > 0; };
  send("who is there?");
  send(encode_datagram(ask, Secret::random().derive("conode bus rendezvous")));
  EXPECT_TRUE(wait_for([&] { return root().counters().bad_datagrams == 2; }));
  EXPECT_FALSE(answered());
  send(encode_datagram(ask, key));  // a member
  EXPECT_TRUE(wait_for(answered));
  ask.mutable_ask()->set_stamp(99);  // what it said before, sent again by somebody
  send(encode_datagram(ask, key));
  EXPECT_TRUE(wait_for([&] { return root().counters().bad_datagrams == 3; }));
  expect_undisturbed();
}

}  // namespace
}  // namespace conode::bus
