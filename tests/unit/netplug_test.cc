// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "netplug/cni/config.h"
#include "netplug/cni/naming.h"
#include "netplug/cni/plugin.h"
#include "netplug/cni/request.h"
#include "netplug/link/address.h"

namespace conode::cni {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Address, ReadsAndWritesTheSameText) {
  for (const char* text : {"0.0.0.0", "10.244.0.5", "255.255.255.255"})
    EXPECT_EQ(Ipv4Address::parse(text).value().text(), text);
  for (const char* text : {"", "10.244.0", "10.244.0.256", "::1", " 10.0.0.1", "10.0.0.1/8"})
    EXPECT_FALSE(Ipv4Address::parse(text)) << text;
}

TEST(Address, PrefixKnowsWhatItHolds) {
  const Ipv4Prefix prefix = Ipv4Prefix::parse("10.244.3.7/24").value();
  EXPECT_EQ(prefix.network().text(), "10.244.3.0");
  EXPECT_EQ(prefix.size(), 256U);
  EXPECT_TRUE(prefix.contains(Ipv4Address::parse("10.244.3.255").value()));
  EXPECT_FALSE(prefix.contains(Ipv4Address::parse("10.244.4.0").value()));
  EXPECT_TRUE(Ipv4Prefix::parse("0.0.0.0/0").value().contains({0xffffffffU}));
  EXPECT_EQ(Ipv4Prefix::parse("1.2.3.4/32").value().size(), 1U);
  for (const char* text : {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x"})
    EXPECT_FALSE(Ipv4Prefix::parse(text)) << text;
}

TEST(Address, Ipv6PrefixCountsPlaces) {
  const Ipv6Prefix prefix = Ipv6Prefix::parse("fd00:10:244::7/64").value();
  EXPECT_EQ(prefix.text(), "fd00:10:244::7/64");
  EXPECT_EQ(prefix.at(0).text(), "fd00:10:244::");
  EXPECT_EQ(prefix.at(0x10203).text(), "fd00:10:244::1:203");
  EXPECT_EQ(Ipv6Prefix::parse("fd00::ff/121").value().at(5).text(), "fd00::85");
  for (const char* text : {"fd00::", "fd00::/129", "fd00::/x", "10.0.0.0/24", "fd00:::/64", ""})
    EXPECT_FALSE(Ipv6Prefix::parse(text)) << text;
}

TEST(Address, SeededHardwareAddressesAreLocalUnicast) {
  for (const uint64_t seed : {uint64_t{0}, ~uint64_t{0}, uint64_t{0x123456789abcdef}}) {
    const MacAddress mac = MacAddress::from_seed(seed);
    EXPECT_EQ(mac.bytes[0] & 3U, 2U);
    EXPECT_EQ(mac, MacAddress::from_seed(seed));
  }
  EXPECT_EQ(MacAddress::from_seed(0x5e10000001).text(), "02:5e:10:00:00:01");
}

Environment environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  };
}

TEST(Request, ReadsEveryVerb) {
  const auto full = [](const char* verb) {
    return environment({{"CNI_COMMAND", verb},
                        {"CNI_CONTAINERID", "a_b.C-1"},
                        {"CNI_IFNAME", "eth0"},
                        {"CNI_NETNS", "/run/netns/x"}});
  };
  EXPECT_EQ(read_request(full("ADD")).value().command, Command::add);
  EXPECT_EQ(read_request(full("CHECK")).value().netns, "/run/netns/x");
  EXPECT_EQ(read_request(full("DEL")).value().attachment.text(), "a_b.C-1/eth0");
  for (const char* verb : {"GC", "STATUS", "VERSION"})
    EXPECT_TRUE(read_request(environment({{"CNI_COMMAND", verb}}))) << verb;
}

TEST(Request, NamesEveryBadVariable) {
  const auto request =
      read_request(environment({{"CNI_COMMAND", "ADD"}, {"CNI_CONTAINERID", "a b"}}));
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().code, ErrorCode::invalid_environment);
  EXPECT_THAT(request.error().message,
              AllOf(HasSubstr("'a b'"), HasSubstr("CNI_IFNAME"), HasSubstr("CNI_NETNS")));
}

TEST(Request, AttachmentsSurviveTheirText) {
  const Attachment attachment{"c1", "eth0"};
  EXPECT_EQ(Attachment::parse(attachment.text()), attachment);
  for (const char* text : {"", "c1", "c1/", "/eth0", "c1/eth/0", "../eth0", "c1/."})
    EXPECT_FALSE(Attachment::parse(text)) << text;
}

json conf(const json& more = {}) {
  json document = {{"cniVersion", "1.1.0"}, {"name", "n"}, {"ipam", {{"range", "10.1.2.3/24"}}}};
  if (more.is_object()) document.merge_patch(more);
  return document;
}

TEST(Config, HasDefaults) {
  const NetworkConfig config = parse_config(conf().dump(), Command::add).value();
  EXPECT_EQ(config.range.text(), "10.1.2.0/24");
  EXPECT_EQ(config.data_dir, "/var/lib/cni/conode");
  EXPECT_EQ(config.gateway.text(), "169.254.1.1");
  EXPECT_EQ(config.mtu, 0);
  EXPECT_FALSE(config.node_address);
  EXPECT_THAT(config.unsupported, IsEmpty());
}

TEST(Config, TakesEveryField) {
  const json more = {{"mode", "routed"},
                     {"mtu", 9000},
                     {"gateway", "169.254.9.9"},
                     {"node_address", "10.88.0.1"},
                     {"ipam", {{"data_dir", "/x"}, {"type", "conode"}}},
                     {"unknown", {{"field", 1}}},
                     {"ipMasq", false},
                     {"runtimeConfig", {{"portMappings", json::array()}}}};
  const NetworkConfig config = parse_config(conf(more).dump(), Command::add).value();
  EXPECT_EQ(config.mtu, 9000);
  EXPECT_EQ(config.gateway.text(), "169.254.9.9");
  EXPECT_EQ(config.node_address->text(), "10.88.0.1");
  EXPECT_EQ(config.data_dir, "/x");
  EXPECT_THAT(config.unsupported, IsEmpty());
}

TEST(Config, BridgeHasTheRangesFirstAddress) {
  const NetworkConfig config =
      parse_config(conf({{"mode", "bridge"}}).dump(), Command::add).value();
  EXPECT_EQ(config.mode, Mode::bridge);
  EXPECT_EQ(config.bridge, "cnbr0");
  EXPECT_EQ(config.gateway.text(), "10.1.2.1");
  const json more = {{"mode", "bridge"}, {"bridge", "br7"}, {"gateway", "10.1.2.254"}};
  const NetworkConfig other = parse_config(conf(more).dump(), Command::add).value();
  EXPECT_EQ(other.bridge, "br7");
  EXPECT_EQ(other.gateway.text(), "10.1.2.254");
}

TEST(Config, SecondRangeHoldsAtLeastAsManyAddresses) {
  const auto with = [](const char* range6) {
    return parse_config(conf({{"ipam", {{"range6", range6}}}}).dump(), Command::add);
  };
  EXPECT_EQ(with("fd00::/64").value().range6->text(), "fd00::/64");
  EXPECT_TRUE(with("fd00::/120"));
  for (const char* wrong : {"fd00::/121", "10.0.0.0/8", "fd00::"})
    EXPECT_THAT(with(wrong).error().details, HasSubstr("'ipam.range6'")) << wrong;
}

TEST(Config, ReadsHostPortsWhereTheyMatter) {
  const json mappings = {
      {{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "TCP"}, {"hostIP", ""}},
      {{"hostPort", 53}, {"containerPort", 5353}, {"protocol", "udp"}, {"hostIP", "10.0.0.7"}},
      {{"hostPort", 0}, {"containerPort", 9}}};
  const std::string text = conf({{"runtimeConfig", {{"portMappings", mappings}}}}).dump();
  EXPECT_THAT(parse_config(text, Command::add).value().ports,
              ElementsAre(PortMapping{"tcp", 8080, 80, std::nullopt},
                          PortMapping{"udp", 53, 5353, Ipv4Address::parse("10.0.0.7").value()}));
  const std::string bad = conf({{"runtimeConfig", {{"portMappings", "8080"}}}}).dump();
  EXPECT_FALSE(parse_config(bad, Command::add));
  EXPECT_TRUE(parse_config(bad, Command::del)) << "what was done is undone, whatever is asked for";
}

TEST(Config, ReportsAllProblemsAtOnce) {
  const json more = {{"mtu", 5}, {"mode", "magic"}, {"ipam", {{"range", 4}}}};
  const auto config = parse_config(conf(more).dump(), Command::add);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::invalid_config);
  EXPECT_THAT(config.error().details,
              AllOf(HasSubstr("'mtu' is 5"), HasSubstr("magic"), HasSubstr("'ipam.range' is 4")));
}

TEST(Config, ReadsTheListOfValidAttachments) {
  const json list = {{{"containerID", "c"}, {"ifname", "eth0"}}};
  const json more = {{"cni.dev/valid-attachments", list}};
  EXPECT_THAT(parse_config(conf(more).dump(), Command::gc).value().valid_attachments,
              ElementsAre(Attachment{"c", "eth0"}));
  json none = conf();
  none["cni.dev/valid-attachments"] = nullptr;  // libcni's empty list
  EXPECT_THAT(parse_config(none.dump(), Command::gc).value().valid_attachments, IsEmpty());
  EXPECT_THAT(parse_config(conf().dump(), Command::gc).value().valid_attachments, IsEmpty());
  EXPECT_FALSE(parse_config(conf({{"cni.dev/valid-attachments", "c"}}).dump(), Command::gc));
}

TEST(Config, RefusesADocumentThatIsTooDeep) {
  const std::string deep = R"({"prevResult":)" + std::string(100000, '[');
  EXPECT_EQ(parse_config(deep, Command::add).error().code, ErrorCode::decoding_failure);
}

TEST(Config, AnyBytesGetAnAnswer) {
  const std::string good = conf({{"mtu", 1500}, {"dns", {{"domain", "x"}}}}).dump();
  for (size_t at = 0; at < good.size(); ++at) {
    for (const char byte : {'\0', '"', '}', '\xff', '9'}) {
      std::string mutated = good;
      mutated[at] = byte;
      (void)parse_config(mutated, Command::add);
      (void)version_of(good.substr(0, at));
    }
  }
}

TEST(Naming, IsStableAndDistinct) {
  // A node that is updated must still find what the older program made.
  EXPECT_EQ(host_link_name("conode", {"c1", "eth0"}), host_link_name("conode", {"c1", "eth0"}));
  EXPECT_EQ(host_link_prefix("conode"), "cnbc34");
  std::set<std::string> names;
  std::set<std::string> macs;
  for (int i = 0; i < 5000; ++i) {
    const Attachment attachment{"c" + std::to_string(i), "eth0"};
    const std::string name = host_link_name("conode", attachment);
    EXPECT_EQ(name.size(), 15U);
    EXPECT_TRUE(name.starts_with(host_link_prefix("conode")));
    names.insert(name);
    const MacPair pair = mac_addresses("conode", attachment);
    macs.insert(pair.host.text());
    macs.insert(pair.container.text());
  }
  EXPECT_EQ(names.size(), 5000U);
  EXPECT_EQ(macs.size(), 10000U);
  EXPECT_NE(host_link_name("a", {"c", "eth0"}), host_link_name("a", {"c", "eth1"}));
  EXPECT_NE(host_link_prefix("a"), host_link_prefix("b"));
}

TEST(Naming, BridgedHardwareAddressesFollowTheAddress) {
  const Ipv4Address one = Ipv4Address::parse("10.1.2.3").value();
  const Ipv4Address other = Ipv4Address::parse("10.1.2.4").value();
  EXPECT_EQ(bridged_mac("n", one), bridged_mac("n", one));
  EXPECT_NE(bridged_mac("n", one), bridged_mac("n", other));
  EXPECT_NE(bridge_mac("n", "a"), bridge_mac("n", "b"));
}

TEST(Plugin, AnswersVersionWithTheCallersVersion) {
  const Environment version = environment({{"CNI_COMMAND", "VERSION"}});
  EXPECT_EQ(json::parse(run_plugin(version, R"({"cniVersion":"1.0.0"})").output)["cniVersion"],
            "1.0.0");
  EXPECT_EQ(json::parse(run_plugin(version, "").output)["cniVersion"], "1.1.0");
}

TEST(Plugin, FailuresAreErrorObjects) {
  const Reply reply = run_plugin(environment({}), R"({"cniVersion":"1.0.0"})");
  EXPECT_EQ(reply.exit_code, 1);
  const json error = json::parse(reply.output);
  EXPECT_EQ(error["cniVersion"], "1.0.0");
  EXPECT_EQ(error["code"], 4);
}

}  // namespace
}  // namespace conode::cni
