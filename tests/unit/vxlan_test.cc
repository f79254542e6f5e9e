// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <set>

#include "netplug/vxlan/frame_rules.h"
#include "netplug/vxlan/handover.h"
#include "netplug/vxlan/host_rules.h"
#include "netplug/vxlan/settings.h"

namespace conode {
namespace {

using testing::HasSubstr;
using testing::Not;

Ipv4Address address(const char* text) { return Ipv4Address::parse(text).value(); }

VxlanSettings valid() {
  return {.job = "4711",
          .user = 1000,
          .vni = 8807,
          .rank = 0,
          .hosts = {{0, address("10.0.0.1")}, {1, address("10.0.0.2")}},
          .mtu = 1450};
}

TEST(JobId, IsAFilesNameAndNothingElse) {
  for (const char* good : {"1", "4711", "fem-42", "f58_a.b", "A1"}) EXPECT_TRUE(is_job_id(good));
  for (const char* bad :
       {"", ".", "..", "a/b", "../x", "-x", ".x", "_x", "a b", "a\nb", "a;b", "\xc3\xa4"})
    EXPECT_FALSE(is_job_id(bad)) << bad;
  EXPECT_FALSE(is_job_id(std::string("a\0b", 3)));
  EXPECT_TRUE(is_job_id(std::string(48, 'a')));
  EXPECT_FALSE(is_job_id(std::string(49, 'a')));
}

TEST(Vni, IsTheSameOnEveryNodeAndInTheRange) {
  EXPECT_EQ(vni_of_job("4711"), 4096U + 4711U);
  EXPECT_EQ(vni_of_job("4711", {100, 199}), 111U);
  EXPECT_EQ(vni_of_job("fem-42"), vni_of_job("fem-42"));
  EXPECT_EQ(vni_of_job("anything", {7, 7}), 7U);
  std::set<uint32_t> numbers;
  for (int job = 0; job < 1000; ++job) {
    const uint32_t vni = vni_of_job("f" + std::to_string(job));
    EXPECT_GE(vni, 4096U);
    EXPECT_LT(vni, 1U << 24U);
    numbers.insert(vni);
  }
  EXPECT_EQ(numbers.size(), 1000U);
  // Neighbours in time are never neighbours in number by accident, and a number never overflows.
  EXPECT_NE(vni_of_job("4711"), vni_of_job("4712"));
  EXPECT_GE(vni_of_job("18446744073709551615"), 4096U);
  EXPECT_GE(vni_of_job("99999999999999999999999"), 4096U);
}

TEST(VxlanMac, IsOneForEachRankAndALocalOne) {
  EXPECT_EQ(vxlan_mac(1), vxlan_mac(1));
  EXPECT_NE(vxlan_mac(1), vxlan_mac(2));
  EXPECT_EQ(vxlan_mac(7).bytes[0] & 3U, 2U);
}

TEST(Inside, EveryRankHasItsShare) {
  EXPECT_EQ(node_address(valid().nodes, 0).text(), "10.88.0.1");
  EXPECT_EQ(node_address(valid().nodes, 300).text(), "10.88.1.45");
  EXPECT_EQ(pods_of_node(valid().pods, 0).text(), "10.244.0.0/24");
  EXPECT_EQ(pods_of_node(valid().pods, 17).text(), "10.244.17.0/24");
}

TEST(VxlanSettings, AreCheckedOneByOne) {
  EXPECT_TRUE(check(valid()));
  const auto refused = [](const std::function<void(VxlanSettings&)>& spoil, const char* why) {
    VxlanSettings s = valid();
    spoil(s);
    const Result<void> checked = check(s);
    ASSERT_FALSE(checked) << why;
    EXPECT_THAT(checked.error().message(), HasSubstr(why));
  };
  refused([](auto& s) { s.job = "../x"; }, "job id");
  refused([](auto& s) { s.user = 0; }, "root");
  refused([](auto& s) { s.vni = 0; }, "VNI");
  refused([](auto& s) { s.vni = 1U << 24U; }, "VNI");
  refused([](auto& s) { s.port = 0; }, "port");
  refused([](auto& s) { s.rank = 2; }, "rank 2");
  refused([](auto& s) { s.hosts[0] = {}; }, "no host's");
  refused([](auto& s) { s.hosts[0] = address("127.0.0.1"); }, "no host's");
  refused([](auto& s) { s.hosts[1] = address("224.0.0.1"); }, "no host's");
  refused([](auto& s) { s.hosts[1] = s.hosts[0]; }, "two ranks");
  refused([](auto& s) { s.hosts[256] = address("10.0.0.3"); }, "no room");
  refused([](auto& s) { s.nodes.length = 31; }, "no room");
  refused([](auto& s) { s.pods.length = 25; }, "pods' prefix");
  refused(
      [](auto& s) {
        for (uint32_t rank = 2; rank < 5000; ++rank) s.hosts[rank] = {0x0a000001U + rank};
      },
      "5000 hosts");
  refused([](auto& s) { s.mtu = 500; }, "MTU");
}

TEST(VxlanSettings, ComeBackFromTheirText) {
  EXPECT_EQ(parse_vxlan_settings(to_text(valid())).value(), valid());
  EXPECT_FALSE(parse_vxlan_settings(""));
  EXPECT_FALSE(parse_vxlan_settings("job ../x\nuser 5\nhost 0=10.0.0.1\n"));
  EXPECT_FALSE(parse_vxlan_settings(to_text(valid()) + "host nonsense\n"));
  for (const char* bad : {"", "1", "=10.0.0.1", "1=", "x=10.0.0.1", "-1=10.0.0.1", "1=10.0.0.1x"})
    EXPECT_FALSE(parse_vxlan_host(bad)) << bad;
  EXPECT_EQ(vni_in("nonsense x\nvni 8807\n"), 8807U);
  EXPECT_EQ(vni_in("nonsense"), 0U);
}

TEST(HostRules, NameThePortTheNumberAndThePeers) {
  const std::string script = rules_script(valid());
  EXPECT_THAT(script, HasSubstr("delete table ip conode_vxlan_8807"));
  EXPECT_THAT(script, HasSubstr("udp dport 947 jump to_us"));
  EXPECT_THAT(script, HasSubstr("@th,96,24 8807 goto ours"));
  EXPECT_THAT(script, HasSubstr("elements = { 10.0.0.2 }"));
  EXPECT_THAT(script, HasSubstr("notrack"));
  EXPECT_THAT(script, HasSubstr("udp dport 947 @th,96,24 8807 drop"));
  VxlanSettings alone = valid();
  alone.hosts.erase(1);
  EXPECT_THAT(rules_script(alone), Not(HasSubstr("elements")));
}

TEST(FrameRules, NameOneNodesAddresses) {
  VxlanSettings second = valid();
  second.rank = 1;
  const std::string script = frame_rules_script(second, "user");
  EXPECT_THAT(script, HasSubstr("iifname \"user\" goto from_user"));
  EXPECT_THAT(script, HasSubstr("ether saddr " + vxlan_mac(1).text() +
                                " ether type ip ip saddr { 10.88.0.2, 10.244.1.0/24 } accept"));
}

TEST(VxlanEnd, ComesBackFromItsText) {
  const VxlanEnd end = end_of(valid());
  EXPECT_EQ(end.ranks, (std::set<uint32_t>{0, 1}));
  EXPECT_EQ(parse_vxlan_end(to_text(end)).value(), end);
  const std::string prefixes = " nodes 10.88.0.0/16 pods 10.244.0.0/16";
  EXPECT_TRUE(parse_vxlan_end("link cnv0 mtu 1450 rank 0 with 0" + prefixes));
  for (const char* bad : {"", "link", "link cnv0 mtu x rank 0 with 0", "mtu 1450 rank 0 with 0",
                          "link cnv0 mtu 1450 rank 1 with 0", "link cnv0 mtu 1450 rank 0"})
    EXPECT_FALSE(parse_vxlan_end(bad + prefixes)) << bad;
  EXPECT_FALSE(parse_vxlan_end("link cnv0 mtu 1450 rank 0 with 0"));
}

}  // namespace
}  // namespace conode
