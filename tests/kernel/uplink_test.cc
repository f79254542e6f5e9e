// SPDX-License-Identifier: Apache-2.0
// The relay between real TUN devices over real sockets: what passes, what must not, and what it
// survives. Each test for both carriers.
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "agent/base/command.h"
#include "netplug/carrier/handshake.h"
#include "netplug/link/link.h"
#include "netplug/link/route.h"
#include "tests/support/datagram_proxy.h"
#include "tests/support/uplink_fixture.h"

namespace conode::test {
namespace {

constexpr size_t kMegabyte = size_t{1} << 20U;

class Uplink : public UplinkFixture, public testing::WithParamInterface<CarrierKind> {
 protected:
  [[nodiscard]] static NodeOptions options() { return {.carrier = GetParam()}; }
  [[nodiscard]] static bool udp() { return GetParam() == CarrierKind::udp; }
};

INSTANTIATE_TEST_SUITE_P(Carriers, Uplink, testing::Values(CarrierKind::tcp, CarrierKind::udp),
                         [](const testing::TestParamInfo<CarrierKind>& one) {
                           return one.param == CarrierKind::tcp ? "tcp" : "udp";
                         });

#define EXPECT_OK(expression)                                           \
  do {                                                                  \
    const auto outcome = (expression);                                  \
    EXPECT_TRUE(outcome) << (outcome ? "" : outcome.error().message()); \
  } while (false)

TEST_P(Uplink, PassesBetweenTwoNodes) {
  make_world(2, options());
  EXPECT_TRUE(reaches(node(0), node(1)));
  EXPECT_TRUE(reaches(node(1), node(0)));
  EXPECT_OK(transfer(node(0), node(1), 32 * kMegabyte));
  EXPECT_OK(transfer(node(1), node(0), 32 * kMegabyte));
  const RelayStatus status = node(0).relay().status();
  ASSERT_EQ(status.peers.size(), 1U);
  EXPECT_EQ(status.peers[0].rank, 1U);
  EXPECT_GT(status.peers[0].sent_bytes, 32 * kMegabyte);
  EXPECT_GT(status.peers[0].received_bytes, 32 * kMegabyte);
  for (const char* cause : {"malformed", "source", "stranger", "device"})
    EXPECT_EQ(status.dropped(cause), 0U) << cause;
}

TEST_P(Uplink, PassesBetweenPods) {
  make_world(2, options());
  for (UplinkNode& one : world_->nodes()) EXPECT_OK(one.make_pod());
  const Ipv4Address here = Ipv4Address::parse(node(0).pod_address()).value();
  const Ipv4Address there = Ipv4Address::parse(node(1).pod_address()).value();
  EXPECT_OK(ping(node(0).pod(), there));
  EXPECT_OK(ping(node(0).pod(), address_of(node(1))));
  EXPECT_OK(ping(node(1).sandbox(), here));
  const TcpListener listener = listen_in(node(1).pod()).value();
  const auto seen = exchange(listener, node(0).pod(), there, listener.port);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ(*seen, here);
}

TEST_P(Uplink, PassesDatagramsOfAllSizes) {
  make_world(2, options());
  for (const size_t size : {1, 500, 1472, 1473, 9000, 64972, 65507}) {
    const Result<size_t> arrived = datagrams(node(0), node(1), size, 5);
    ASSERT_TRUE(arrived) << arrived.error().message();
    EXPECT_EQ(*arrived, 5U) << size;
  }
}

TEST_P(Uplink, PassesBetweenThreeNodesOverSeveralQueues) {
  NodeOptions several = options();
  several.queues = 2;
  make_world(3, several);
  for (UplinkNode& from : world_->nodes())
    for (UplinkNode& to : world_->nodes())
      if (&from != &to) EXPECT_OK(transfer(from, to, 4 * kMegabyte));
}

TEST_P(Uplink, NodesMayDifferInQueues) {
  make_hosts(2);
  NodeOptions three = options();
  three.queues = 3;
  ASSERT_TRUE(node(0).start_relay(world_->plan(), options()));
  ASSERT_TRUE(node(1).start_relay(world_->plan(), three));
  ASSERT_TRUE(world_->introduce(node(0), node(1)) && world_->introduce(node(1), node(0)));
  EXPECT_OK(world_->wait_connected());
  for (int i = 0; i < 4; ++i) {
    EXPECT_OK(transfer(node(0), node(1), kMegabyte));
    EXPECT_OK(transfer(node(1), node(0), kMegabyte));
  }
}

TEST_P(Uplink, PassesEncrypted) {
  NodeOptions sealed = options();
  sealed.encryption = RelayEncryption::aes_gcm;
  make_world(2, sealed);
  EXPECT_OK(transfer(node(0), node(1), 16 * kMegabyte));
  EXPECT_OK(transfer(node(1), node(0), 16 * kMegabyte));
}

// Then the sender's TCP makes segments of 1,450 bytes and the TUN gives them as super-packets.
TEST_P(Uplink, PassesSuperPacketsOfASmallMtu) {
  NodeOptions small = options();
  small.mtu = 1450;
  make_world(2, small);
  EXPECT_OK(transfer(node(0), node(1), 32 * kMegabyte));
  const RelayStatus status = node(0).relay().status();
  EXPECT_GT(status.peers[0].sent_bytes / status.peers[0].sent_frames, 1460U);
}

TEST_P(Uplink, ARestartedPeerIsFoundAgain) {
  make_world(2, options());
  for (const size_t restarted : {size_t{0}, size_t{1}}) {
    UplinkNode& node_again = node(restarted);
    const uint16_t port = node_again.relay().port();
    node_again.stop_relay();
    NodeOptions same_place = options();
    same_place.port = port;
    const Result<void> started = node_again.start_relay(world_->plan(), same_place);
    ASSERT_TRUE(started) << started.error().message();
    ASSERT_TRUE(world_->introduce(node_again, node(1 - restarted)));
    EXPECT_TRUE(eventually([&] { return reaches(node(0), node(1)); })) << restarted;
    EXPECT_OK(transfer(node(0), node(1), 4 * kMegabyte));
  }
}

TEST_P(Uplink, APeerMayMove) {
  make_world(2, options());
  node(0).stop_relay();
  ASSERT_TRUE(node(0).start_relay(world_->plan(), options()));
  ASSERT_TRUE(world_->introduce(node(0), node(1)) && world_->introduce(node(1), node(0)));
  EXPECT_TRUE(eventually([&] { return reaches(node(1), node(0)); }));
}

TEST_P(Uplink, ARemovedPeerIsUnreachable) {
  make_world(2, options());
  ASSERT_TRUE(reaches(node(1), node(0)));
  node(1).relay().remove_peer(0);
  EXPECT_TRUE(eventually([&] {
    const uint64_t before = node(1).relay().status().dropped("no_peer");
    (void)datagrams(node(1), node(0), 10, 1);
    return node(1).relay().status().dropped("no_peer") > before || udp();
  }));
  ASSERT_TRUE(world_->introduce(node(1), node(0)));
  EXPECT_TRUE(eventually([&] { return reaches(node(1), node(0)); }));
}

TEST_P(Uplink, AWrongSecretIsRefused) {
  make_hosts(2);
  NodeOptions wrong = options();
  wrong.secret[0] = 'x';
  ASSERT_TRUE(node(0).start_relay(world_->plan(), options()));
  ASSERT_TRUE(node(1).start_relay(world_->plan(), wrong));
  ASSERT_TRUE(world_->introduce(node(0), node(1)) && world_->introduce(node(1), node(0)));
  EXPECT_TRUE(eventually([&] { return node(0).relay().status().dropped("stranger") > 1; }));
  EXPECT_TRUE(node(0).relay().status().peers.empty());
  EXPECT_TRUE(node(1).relay().status().peers.empty());
  EXPECT_FALSE(reaches(node(0), node(1)));
}

TEST_P(Uplink, OneSideEncryptingIsRefused) {
  make_hosts(2);
  NodeOptions sealed = options();
  sealed.encryption = RelayEncryption::aes_gcm;
  ASSERT_TRUE(node(0).start_relay(world_->plan(), options()));
  ASSERT_TRUE(node(1).start_relay(world_->plan(), sealed));
  ASSERT_TRUE(world_->introduce(node(0), node(1)) && world_->introduce(node(1), node(0)));
  EXPECT_TRUE(eventually([&] { return node(0).relay().status().dropped("stranger") > 0; }));
  EXPECT_TRUE(node(0).relay().status().peers.empty());
}

// What is thrown at the relay's port from a third host.
TEST_P(Uplink, AStrangerIsDroppedAndCounted) {
  make_world(3, options());
  UplinkNode& victim = node(0);
  const auto throw_at = [&](const std::string& bytes) {
    return node(2).host().run([&]() -> Result<void> {
      const UniqueFd fd(::socket(AF_INET, (udp() ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
      const auto to = TRY(carrier::Endpoint::resolve(victim.endpoint()));
      if (::connect(fd.get(), to.raw(), to.length) != 0) return errno_failure("connect");
      if (::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0)
        return errno_failure("send");
      return {};
    });
  };
  const auto forged =
      carrier::Handshake::create(std::string(32, 'x'), 2, carrier::Protection::none, udp() ? 2 : 1)
          .value()
          .encode({.step = carrier::Step::hello, .from = 2, .to = 0})
          .value();
  const std::string cases[] = {std::string(84, '\0'), std::string(200, 'x'),
                               std::string(forged.begin(), forged.end()),
                               // a chunk of rank 1, session 0
                               std::string("\xd1\x00\x01\x00", 4) + std::string(100, '\0')};
  uint64_t expected = 0;
  for (const std::string& bytes : cases) {
    ASSERT_TRUE(throw_at(bytes));
    ++expected;
    EXPECT_TRUE(eventually([&] {
      const RelayStatus status = victim.relay().status();
      return status.dropped("stranger") + status.dropped("stale") >= expected;
    })) << expected;
  }
  EXPECT_OK(transfer(node(0), node(1), kMegabyte));
}

TEST_P(Uplink, AddressesThatAreNotThePeersAreDropped) {
  make_world(3, options());
  // Node 1 speaks as node 2.
  Socket inside = Socket::open(node(1).sandbox()).value();
  const int loopback = find_link(inside, "lo").value()->index;
  const int tun = find_link(inside, kRelayLink).value()->index;
  const Ipv4Address forged = address_of(node(2));
  ASSERT_TRUE(add_address(inside, loopback, {forged, 32}));
  ASSERT_TRUE(
      set_route(inside, {.destination = {address_of(node(0)), 32}, .link = tun, .source = forged}));
  EXPECT_FALSE(reaches(node(1), node(0)));
  EXPECT_GT(node(0).relay().status().dropped("source"), 0U);
}

TEST_P(Uplink, UnknownDestinationsAreCounted) {
  make_world(2, options());
  EXPECT_FALSE(ping(node(0).sandbox(), Ipv4Address::parse("10.88.0.9").value()));
  EXPECT_GT(node(0).relay().status().dropped("no_peer"), 0U);
  EXPECT_FALSE(ping(node(0).sandbox(), Ipv4Address::parse("10.88.9.9").value()));
  EXPECT_GT(node(0).relay().status().dropped("no_route"), 0U);
}

TEST_P(Uplink, StopsAtOnceInTheMiddleOfTraffic) {
  make_world(2, options());
  std::thread traffic(
      [&] { (void)transfer(node(0), node(1), 128 * kMegabyte, std::chrono::seconds(1)); });
  EXPECT_TRUE(eventually([&] {
    const RelayStatus status = node(1).relay().status();
    return !status.peers.empty() && status.peers[0].received_bytes > 4 * kMegabyte;
  }));
  const auto start = std::chrono::steady_clock::now();
  node(0).stop_relay();
  node(1).relay().stop();
  node(1).relay().stop();
  // Of a busy machine, too; what must not count are the seconds that a peer or a stream waits.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
  traffic.join();
}

// A node whose relay has gone silent (its host is unreachable) holds up no other.
TEST_P(Uplink, ASlowPeerBlocksNoOther) {
  make_world(3, options());
  const Result<void> cut = node(2).host().run([&]() -> Result<void> {
    Socket socket = TRY(Socket::open());
    const std::optional<Link> wire = TRY(find_link(socket, "v0"));
    TRY(delete_link(socket, wire->name));
    return {};
  });
  ASSERT_TRUE(cut) << cut.error().message();
  std::atomic<bool> done{false};
  std::thread flood([&] {
    const UniqueFd fd = node(0)
                            .sandbox()
                            .run([]() -> Result<UniqueFd> {
                              return UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                            })
                            .value();
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(9)};
    to.sin_addr.s_addr = htonl(address_of(node(2)).value);
    const std::string bytes(60000, 'x');
    while (!done) {
      (void)::sendto(fd.get(), bytes.data(), bytes.size(), 0,
                     reinterpret_cast<const sockaddr*>(&to), sizeof to);
      // 2 Gbit/s: faster than a dead peer, and slower than what fills the TUN's own queue.
      std::this_thread::sleep_for(std::chrono::microseconds(250));
    }
  });
  if (!udp()) {
    EXPECT_TRUE(eventually([&] { return node(0).relay().status().dropped("backlog") > 0; }));
  }
  EXPECT_OK(transfer(node(0), node(1), 8 * kMegabyte));
  done = true;
  flood.join();
}

// What a network does to datagrams; the TCP carrier has the host's TCP for that.
class UplinkOnBadNetwork : public UplinkFixture {
 protected:
  void make_bad_world(Harm harm, const NodeOptions& options = {.carrier = CarrierKind::udp}) {
    make_hosts(2);
    ASSERT_TRUE(node(0).start_relay(world_->plan(), options));
    ASSERT_TRUE(node(1).start_relay(world_->plan(), options));
    auto proxy = DatagramProxy::start("0.0.0.0:0", node(0).endpoint(), harm);
    ASSERT_TRUE(proxy) << proxy.error().message();
    proxy_ = std::move(*proxy);
    // Node 1 dials, so it alone needs to go through the proxy.
    ASSERT_TRUE(world_->introduce(node(1), node(0), fmt::format("172.30.2.1:{}", proxy_->port())));
    const Result<void> connected = world_->wait_connected();
    ASSERT_TRUE(connected) << connected.error().message();
  }
  void TearDown() override {
    world_.reset();
    proxy_.reset();
    UplinkFixture::TearDown();
  }
  std::unique_ptr<DatagramProxy> proxy_;
};

TEST_F(UplinkOnBadNetwork, LossCostsSpeedNotContent) {
  make_bad_world({.loss = 0.01});
  EXPECT_OK(transfer(node(1), node(0), kMegabyte));
  EXPECT_OK(transfer(node(0), node(1), kMegabyte));
  EXPECT_GT(proxy_->lost(), 0U);
}

TEST_F(UplinkOnBadNetwork, RepetitionsAreDroppedAndCounted) {
  make_bad_world({.duplicate = 0.2});
  EXPECT_OK(transfer(node(1), node(0), 4 * kMegabyte));
  EXPECT_GT(node(0).relay().status().dropped("stale"), 0U);
}

TEST_F(UplinkOnBadNetwork, AnotherOrderIsPutRight) {
  make_bad_world({.reorder = 0.2});
  EXPECT_OK(transfer(node(1), node(0), 4 * kMegabyte));
  EXPECT_EQ(node(0).relay().status().dropped("incomplete"), 0U);
}

TEST_F(UplinkOnBadNetwork, AllOfThemEncrypted) {
  make_bad_world(
      {.loss = 0.005, .duplicate = 0.05, .reorder = 0.05},
      {.queues = 2, .carrier = CarrierKind::udp, .encryption = RelayEncryption::aes_gcm});
  EXPECT_OK(transfer(node(1), node(0), kMegabyte));
  EXPECT_OK(transfer(node(0), node(1), kMegabyte));
}

TEST_F(UplinkOnBadNetwork, ACutWireComesBack) {
  make_bad_world({});
  ASSERT_TRUE(reaches(node(1), node(0)));
  proxy_->cut(true);
  EXPECT_FALSE(reaches(node(1), node(0)));
  // Until both have noticed: nothing is heard for four seconds.
  EXPECT_TRUE(eventually([&] {
    const uint64_t before = node(1).relay().status().dropped("no_peer");
    (void)datagrams(node(1), node(0), 10, 1);
    return node(1).relay().status().dropped("no_peer") > before;
  }));
  proxy_->cut(false);
  EXPECT_TRUE(eventually([&] { return reaches(node(1), node(0)); }));
}

}  // namespace
}  // namespace conode::test
