// SPDX-License-Identifier: Apache-2.0
// Addresses by rank, frames, and what a relay and a TUN refuse.
#include <gmock/gmock.h>

#include "netplug/carrier/address_plan.h"
#include "netplug/uplink/relay.h"
#include "netplug/uplink/tun.h"
#include "tests/unit/carrier_fixture.h"

namespace conode::test {
namespace {

using testing::HasSubstr;

AddressPlan plan_of(uint32_t ranks) {
  return AddressPlan::create({{"10.88.0.0/16", 32, 1},
                              {"10.244.0.0/16", 24, 0},
                              {"fd00:88::/64", 128, 1},
                              {"fd00:244::/48", 64, 0}},
                             ranks)
      .value();
}

std::optional<Rank> owner(const AddressPlan& plan, const std::string& address) {
  return plan.owner(IpAddress::parse(address).value());
}

TEST(AddressPlan, FindsTheOwnerOfEveryKindOfAddress) {
  const AddressPlan plan = plan_of(64);
  const std::pair<const char*, std::optional<Rank>> cases[] = {
      {"10.88.0.1", 0},
      {"10.88.0.64", 63},
      {"10.88.0.0", std::nullopt},
      {"10.88.0.65", {}},
      {"10.87.255.255", {}},
      {"10.89.0.1", {}},
      {"10.244.0.0", 0},
      {"10.244.63.255", 63},
      {"10.244.64.0", {}},
      {"0.0.0.0", {}},
      {"255.255.255.255", {}},
      {"fd00:88::1", 0},
      {"fd00:88::40", 63},
      {"fd00:88::41", {}},
      {"fd00:244:0:3::99", 3},
      {"fd00:244:0:40::", {}},
      {"::", {}},
      {"ff02::1", {}},
      {"224.0.0.1", {}},
      {"a58::", {}},  // the bits of 10.88.0.0
  };
  for (const auto& [address, rank] : cases) EXPECT_EQ(owner(plan, address), rank) << address;
}

TEST(AddressPlan, NamesTheShareOfARank) {
  const AddressPlan plan = plan_of(300 - 44);
  EXPECT_EQ(plan.share(0, 3), "10.88.0.4/32");
  EXPECT_EQ(plan.share(0, 255), "10.88.1.0/32");
  EXPECT_EQ(plan.share(1, 3), "10.244.3.0/24");
  EXPECT_EQ(plan.share(3, 16), "fd00:244:0:10::/64");
}

TEST(AddressPlan, TakesAWholeFamily) {
  const AddressPlan plan = AddressPlan::create({{"0.0.0.0/0", 8, 0}}, 256).value();
  EXPECT_EQ(owner(plan, "10.1.2.3"), 10U);
  EXPECT_EQ(owner(plan, "255.255.255.255"), 255U);
  EXPECT_EQ(owner(plan, "::1"), std::nullopt);
}

TEST(AddressPlan, SaysWhatIsWrongWithAPrefix) {
  const std::pair<std::vector<RankedPrefix>, const char*> cases[] = {
      {{{"10.88.0.0", 24, 0}}, "no prefix"},
      {{{"10.88/16", 24, 0}}, "no IP address"},
      {{{"10.88.0.0/33", 33, 0}}, "length of a prefix"},
      {{{"10.88.0.0/x", 24, 0}}, "length of a prefix"},
      {{{"10.88.0.0/16", 8, 0}}, "cannot be divided"},
      {{{"10.88.0.0/16", 33, 0}}, "cannot be divided"},
      {{{"10.88.0.1/16", 24, 0}}, "bits beyond its length"},
      {{{"10.88.0.0/24", 26, 0}}, "4 parts of '/26' for 64 nodes"},
      {{{"10.88.0.0/26", 32, 1}}, "64 parts of '/32' for 64 nodes"},
      {{{"10.0.0.0/8", 24, 0}, {"10.88.0.0/16", 32, 1}}, "overlaps"},
      {{{"10.88.0.0/16", 32, 1}, {"10.0.0.0/8", 24, 0}}, "overlaps"},
  };
  for (const auto& [prefixes, message] : cases) {
    const Result<AddressPlan> made = AddressPlan::create(prefixes, 64);
    ASSERT_FALSE(made) << message;
    EXPECT_THAT(made.error().message(), HasSubstr(message));
  }
}

TEST(Frame, GivesTheEndsOfAPacket) {
  const std::vector<uint8_t> frame = ipv4_frame(100);
  const std::optional<FrameEnds> ends = frame_ends(frame);
  ASSERT_TRUE(ends);
  EXPECT_EQ(ends->source.text(), "10.88.0.1");
  EXPECT_EQ(ends->destination.text(), "10.88.0.2");
}

TEST(Frame, GivesTheEndsOfAnIpv6Packet) {
  std::vector<uint8_t> frame(kVnetHeaderSize + 60);
  frame[kVnetHeaderSize] = 0x60;
  frame[kVnetHeaderSize + 5] = 20;
  frame[kVnetHeaderSize + 8] = 0xfd;
  frame[kVnetHeaderSize + 39] = 7;
  const std::optional<FrameEnds> ends = frame_ends(frame);
  ASSERT_TRUE(ends);
  EXPECT_EQ(ends->source.text(), "fd00::");
  EXPECT_EQ(ends->destination.text(), "::7");
  frame[kVnetHeaderSize + 5] = 21;
  EXPECT_FALSE(frame_ends(frame));
}

TEST(Frame, WhatIsNoWholePacketHasNoEnds) {
  const std::vector<uint8_t> whole = ipv4_frame(100);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(frame_ends(std::span(whole).first(size))) << size;
  for (const int first : {0x44, 0x5f, 0x05, 0x75, 0x00}) {
    std::vector<uint8_t> frame = whole;
    frame[kVnetHeaderSize] = static_cast<uint8_t>(first);
    EXPECT_FALSE(frame_ends(frame)) << first;
  }
}

TEST(Frame, OffloadsMustFitThePacket) {
  using Change = std::vector<std::pair<size_t, uint8_t>>;  // offset in the header, value
  const std::pair<Change, bool> cases[] = {
      {{}, true},
      {{{0, 1}, {6, 20}, {8, 16}}, true},     // a checksum to be computed
      {{{0, 1}, {6, 80}, {8, 16}}, false},    // beyond the packet
      {{{0, 1}, {7, 0xff}, {8, 16}}, false},  //
      {{{0, 1}, {1, 1}, {4, 100}}, true},     // TCP over IPv4
      {{{0, 1}, {1, 0x81}, {4, 100}}, true},  // with ECN
      {{{0, 1}, {1, 5}, {4, 100}}, true},     // UDP
      {{{0, 1}, {1, 4}, {4, 100}}, false},    // TCP over IPv6 it is not
      {{{0, 1}, {1, 1}}, false},              // segments of no size
      {{{1, 1}, {4, 100}}, false},            // segments without a checksum
      {{{0, 1}, {1, 3}, {4, 100}}, false},    // fragments: long gone
      {{{0, 1}, {1, 77}, {4, 100}}, false},   // unknown
      {{{2, 91}}, false},                     // headers longer than the packet
  };
  for (const auto& [changes, sound] : cases) {
    std::vector<uint8_t> frame = ipv4_frame(100);
    for (const auto& [at, value] : changes) frame[at] = value;
    EXPECT_EQ(offloads_are_sound(frame), sound) << testing::PrintToString(changes);
  }
  EXPECT_FALSE(offloads_are_sound({}));
}

TEST(Frame, HintsTheHeaderLengthOfLongFramesOnly) {
  std::vector<uint8_t> frame = ipv4_frame(1000);
  hint_header_length(frame);
  EXPECT_EQ(frame[2], 128);
  EXPECT_TRUE(offloads_are_sound(frame));
  frame[2] = 54;
  hint_header_length(frame);
  EXPECT_EQ(frame[2], 54);
  std::vector<uint8_t> brief = ipv4_frame(100);
  hint_header_length(brief);
  EXPECT_EQ(brief[2], 0);
}

TEST(Tun, SaysWhatIsMissing) {
  const Result<TunQueues> absent = open_tun({.device = "/nonexistent/tun"});
  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().message(), HasSubstr("open the uplink 'cnr0': open"));
  EXPECT_THAT(absent.error().remedy, HasSubstr("modprobe tun"));
  EXPECT_FALSE(open_tun({.name = "far-too-long-a-name"}));
  EXPECT_FALSE(open_tun({.queues = 0}));
  EXPECT_FALSE(open_tun({.queues = 17}));
  EXPECT_FALSE(open_tun({.mtu = 1000}));
  EXPECT_FALSE(open_tun({.mtu = 70000}));
}

RelayOptions options_with(const std::string& secret, const std::string& listen, Rank rank = 0) {
  RelayOptions options{.rank = rank, .plan = plan_of(4), .secret = secret, .listen = listen};
  options.tun.emplace_back(::dup(0));
  return options;
}

TEST(Relay, SaysWhatIsWrong) {
  const std::string secret(16, 's');
  const auto message = [](RelayOptions options) {
    const auto started = Relay::start(std::move(options));
    return started ? "started" : started.error().message();
  };
  RelayOptions no_tun = options_with(secret, "127.0.0.1:0");
  no_tun.tun.clear();
  EXPECT_THAT(message(std::move(no_tun)), HasSubstr("0 TUN queues"));
  EXPECT_THAT(message(options_with("short", "127.0.0.1:0")), HasSubstr("secret has 5 bytes"));
  EXPECT_THAT(message(options_with(secret, "127.0.0.1")), HasSubstr("'127.0.0.1' as an endpoint"));
  EXPECT_THAT(message(options_with(secret, "192.0.2.1:0")), HasSubstr("bind a carrier to"));
  EXPECT_THAT(message(options_with(secret, "127.0.0.1:0", 4)),
              HasSubstr("rank 4 is not in a plan"));
}

}  // namespace
}  // namespace conode::test
