// SPDX-License-Identifier: Apache-2.0
// conode-cni as a runtime calls it, on a node of private namespaces.
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "agent/base/file.h"
#include "netplug/link/route.h"
#include "netplug/link/sysctl.h"
#include "tests/support/cni_fixture.h"

namespace conode::test {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Netplug : public CniFixture {};

Result<std::vector<Route>> routes_in(const Netns& netns) {
  Socket socket = TRY(Socket::open(netns));
  return list_routes(socket);
}

TEST_F(Netplug, AddMakesWhatItReports) {
  Container& c = container();
  const CniAnswer answer = call("ADD", c, {{"mtu", 1400}, {"dns", {{"domain", "d"}}}});
  ASSERT_TRUE(answer.ok()) << answer.output;
  const json result = answer.json();
  EXPECT_EQ(result["cniVersion"], "1.1.0");
  ASSERT_THAT(result["interfaces"], SizeIs(2));
  EXPECT_EQ(result["interfaces"][1]["name"], "eth0");
  EXPECT_EQ(result["interfaces"][1]["sandbox"], c.path());
  EXPECT_EQ(result["ips"][0]["address"], "10.244.0.1/32");
  EXPECT_EQ(result["ips"][0]["interface"], 1);
  EXPECT_EQ(result["routes"][0]["dst"], "0.0.0.0/0");
  EXPECT_EQ(result["dns"]["domain"], "d");
  Socket node = Socket::open().value();
  const Link host = find_link(node, result["interfaces"][0]["name"]).value().value();
  EXPECT_EQ(result["interfaces"][0]["mac"], host.mac.text());
  EXPECT_EQ(host.mtu, 1400);
  Socket inside = Socket::open(c.netns()).value();
  const Link eth0 = find_link(inside, "eth0").value().value();
  EXPECT_TRUE(eth0.up && host.up);
  EXPECT_EQ(result["interfaces"][1]["mac"], eth0.mac.text());
  EXPECT_EQ(list_addresses(inside, eth0.index).value().front().text(), "10.244.0.1/32");
  const std::vector<Route> routes = list_routes(inside).value();
  ASSERT_THAT(routes, SizeIs(1));
  EXPECT_EQ(routes[0].gateway->text(), "169.254.1.1");
  EXPECT_TRUE(routes[0].onlink);
  EXPECT_TRUE(call("DEL", c).ok());
}

TEST_F(Netplug, AddPassesAPreviousResultOn) {
  Container& c = container();
  const json before = {{"interfaces", {{{"name", "x"}}}}, {"ips", {{{"address", "fd00::1/64"}}}}};
  const CniAnswer answer = call("ADD", c, {{"prevResult", before}});
  ASSERT_TRUE(answer.ok()) << answer.output;
  EXPECT_THAT(answer.json()["interfaces"], SizeIs(3));
  EXPECT_EQ(answer.json()["ips"][0]["address"], "fd00::1/64");
  EXPECT_EQ(answer.json()["ips"][1]["interface"], 2);
  EXPECT_TRUE(call("DEL", c).ok());
}

TEST_F(Netplug, VersionOneHasNoMtuInItsResult) {
  Container& c = container();
  const CniAnswer answer = call("ADD", c, {{"cniVersion", "1.0.0"}});
  EXPECT_EQ(answer.json()["cniVersion"], "1.0.0");
  EXPECT_FALSE(answer.json()["interfaces"][1].contains("mtu"));
  EXPECT_TRUE(call("DEL", c).ok());
}

TEST_F(Netplug, AddTwiceIsRefusedAndTheFirstStays) {
  Container& c = container();
  add(c);
  const CniAnswer again = call("ADD", c);
  EXPECT_EQ(again.code(), 4) << again.output;
  EXPECT_THAT(again.output, HasSubstr("call DEL first"));
  EXPECT_THAT(reserved(), ElementsAre("10.244.0.1"));
  EXPECT_THAT(pod_links(), SizeIs(1));
  EXPECT_TRUE(call("DEL", c).ok());
}

TEST_F(Netplug, AddIsUndoneWhenTheInterfaceExists) {
  Container& c = container();
  Socket inside = Socket::open(c.netns()).value();
  ASSERT_TRUE(create_bridge(inside, "eth0").value());
  const CniAnswer answer = call("ADD", c);
  EXPECT_EQ(answer.code(), 4) << answer.output;
  EXPECT_THAT(answer.output, HasSubstr("CNI_IFNAME is 'eth0'"));
}

TEST_F(Netplug, AddIsUndoneWhenTheDefaultRouteExists) {
  Container& c = container();
  Socket inside = Socket::open(c.netns()).value();
  ASSERT_TRUE(create_bridge(inside, "b0").value());
  const int link = find_link(inside, "b0").value()->index;
  ASSERT_TRUE(add_route(inside, {.destination = {{}, 0}, .link = link}).value());
  const CniAnswer answer = call("ADD", c);
  EXPECT_EQ(answer.code(), 4) << answer.output;
  EXPECT_THAT(answer.output, HasSubstr("default route"));
}

TEST_F(Netplug, AddIsUndoneWhenNobodyReadsItsResult) {
  CniCall call = prepared("ADD", container());
  call.output = "/dev/full";
  EXPECT_EQ(shell_exit_code(call_plugin(call).value().status), 1);
}

TEST_F(Netplug, NetnsMustBeAnotherNetworkNamespace) {
  Container& c = container();
  for (const char* wrong : {"/proc/self/ns/net", "/proc/self/ns/mnt", "/dev/null", "/no/such"}) {
    CniCall call = prepared("ADD", c);
    call.netns = wrong;
    const CniAnswer answer = call_plugin(call).value();
    EXPECT_EQ(answer.code(), 4) << answer.output;
    EXPECT_THAT(answer.output, HasSubstr(wrong));
  }
}

TEST_F(Netplug, DelSucceedsWhateverIsGone) {
  Container& never = container();
  EXPECT_TRUE(call("DEL", never).ok());
  Container& c = container();
  add(c);
  CniCall without_netns = prepared("DEL", c);
  without_netns.netns.clear();
  EXPECT_TRUE(call_plugin(without_netns).value().ok());
  EXPECT_THAT(reserved(), IsEmpty());
  EXPECT_TRUE(call("DEL", c).ok());
  Container& gone = container();
  add(gone);
  gone.remove();
  const CniAnswer answer = call("DEL", gone);
  EXPECT_TRUE(answer.ok()) << answer.output;
  EXPECT_THAT(answer.output, IsEmpty());
}

TEST_F(Netplug, DelAcceptsAConfigurationThatAddRefused) {
  Container& c = container();
  const json masquerading = {{"ipMasq", true}};
  const CniAnswer refused = call("ADD", c, masquerading);
  EXPECT_EQ(refused.code(), 2) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("ipMasq"));
  EXPECT_TRUE(call("DEL", c, masquerading).ok());
}

TEST_F(Netplug, DelFreesRouteAndAddressAtOnce) {
  Container& c = container();
  const Ipv4Address address = add(c);
  ASSERT_TRUE(call("DEL", c).ok());
  const auto routes = routes_in(Netns::current().value()).value();
  for (const Route& route : routes) EXPECT_NE(route.destination, (Ipv4Prefix{address, 32}));
}

TEST_F(Netplug, AddRightAfterDelWorksAndTakesAnotherAddress) {
  Container& c = container();
  Ipv4Address last{};
  for (int round = 0; round < 5; ++round) {
    const Ipv4Address address = add(c);
    EXPECT_NE(address, last);
    last = address;
    ASSERT_TRUE(call("DEL", c).ok());
  }
}

TEST_F(Netplug, TheLinkGoesThoughItsNamespaceStays) {
  Container& c = container();
  add(c);
  ASSERT_TRUE(call("DEL", c).ok());
  wait_for_background();
  Socket inside = Socket::open(c.netns()).value();
  EXPECT_FALSE(find_link(inside, "eth0").value());
  EXPECT_THAT(pod_links(), IsEmpty());
}

// The background part of DEL must not take the link that a later ADD has made by the same name.
TEST_F(Netplug, TheLinkOfAnAddAfterDelStays) {
  Container& c = container();
  add(c);
  ASSERT_TRUE(call("DEL", c).ok());
  add(c);
  wait_for_background();
  EXPECT_THAT(pod_links(), SizeIs(1));
  ASSERT_TRUE(call("DEL", c).ok());
}

TEST_F(Netplug, WaitsForALinkToGo) {
  Socket node = Socket::open().value();
  ASSERT_TRUE(create_bridge(node, "gone0").value());
  const int index = find_link(node, "gone0").value()->index;
  EXPECT_FALSE(wait_link_gone(index, std::chrono::milliseconds(10)).value());
  std::thread deleting([&] { EXPECT_TRUE(delete_link(node, index).value()); });
  EXPECT_TRUE(wait_link_gone(index, std::chrono::seconds(10)).value());
  deleting.join();
  EXPECT_FALSE(delete_link(node, index).value());
}

TEST_F(Netplug, CheckAcceptsWhatAddMade) {
  Container& c = container();
  const json result = call("ADD", c).json();
  const CniAnswer answer = call("CHECK", c, {{"prevResult", result}});
  EXPECT_TRUE(answer.ok()) << answer.output;
  EXPECT_THAT(answer.output, IsEmpty());
  EXPECT_TRUE(call("DEL", c).ok());
  EXPECT_EQ(call("CHECK", c, {{"prevResult", result}}).code(), 3);
}

TEST_F(Netplug, CheckNamesAllThatIsMissing) {
  Container& c = container();
  const json result = call("ADD", c).json();
  Socket node = Socket::open().value();
  const int host = find_link(node, result["interfaces"][0]["name"]).value()->index;
  ASSERT_TRUE(
      delete_route(node, {.destination = Ipv4Prefix::parse("10.244.0.1/32").value(), .link = host})
          .value());
  Socket inside = Socket::open(c.netns()).value();
  ASSERT_TRUE(delete_route(inside, {.destination = {{}, 0},
                                    .link = find_link(inside, "eth0").value()->index,
                                    .gateway = Ipv4Address::parse("169.254.1.1").value()})
                  .value());
  const CniAnswer answer = call("CHECK", c, {{"prevResult", result}});
  EXPECT_EQ(answer.code(), 100);
  EXPECT_THAT(answer.output, HasSubstr("route to '10.244.0.1/32'"));
  EXPECT_THAT(answer.output, HasSubstr("default route"));
  ASSERT_TRUE(delete_link(inside, "eth0").value());
  EXPECT_THAT(call("CHECK", c, {{"prevResult", result}}).output, HasSubstr("is missing"));
  EXPECT_TRUE(call("DEL", c).ok());
}

TEST_F(Netplug, CollectsOnlyWhatIsNotValid) {
  Container& kept = container();
  Container& lost = container();
  add(kept);
  add(lost);
  const CniAnswer answer = call("GC", keeping({&kept}));
  ASSERT_TRUE(answer.ok()) << answer.output;
  EXPECT_THAT(reserved(), ElementsAre("10.244.0.1"));
  EXPECT_THAT(pod_links(), SizeIs(1));
  EXPECT_TRUE(call("GC", {{"name", "other"}, {"cni.dev/valid-attachments", json::array()}}).ok());
  EXPECT_THAT(pod_links(), SizeIs(1)) << "another network's";
  EXPECT_TRUE(call("GC", keeping({})).ok());
}

TEST_F(Netplug, CollectsEverythingWhereNothingIsValid) {
  add(container());
  add(container());
  EXPECT_TRUE(call("GC").ok());
  EXPECT_THAT(pod_links(), IsEmpty());
}

TEST_F(Netplug, CollectsNothingByAListThatIsNone) {
  Container& c = container();
  add(c);
  EXPECT_EQ(call("GC", {{"cni.dev/valid-attachments", "c1"}}).code(), 7);
  EXPECT_THAT(reserved(), SizeIs(1));
  EXPECT_TRUE(call("DEL", c).ok());
}

TEST_F(Netplug, StatusSaysWhetherAddWouldWork) {
  EXPECT_TRUE(call("STATUS").ok());
  const json tiny = {{"ipam", {{"range", "10.244.0.4/32"}}}};
  Container& c = container();
  add(c, tiny);
  const CniAnswer full = call("STATUS", tiny);
  EXPECT_EQ(full.code(), 50) << full.output;
  EXPECT_EQ(call("ADD", container(), tiny).code(), 11);
  ASSERT_TRUE(set_network_sysctl("ipv4/ip_forward", "0"));
  EXPECT_EQ(call("STATUS").code(), 51);
  ASSERT_TRUE(set_network_sysctl("ipv4/ip_forward", "1"));
  EXPECT_TRUE(call("DEL", c).ok());
  EXPECT_EQ(call("STATUS", {{"ipam", {{"data_dir", "/dev/null/pool"}}}}).code(), 50);
}

TEST_F(Netplug, AddReportsADataDirectoryThatCannotBeWritten) {
  const CniAnswer answer = call("ADD", container(), {{"ipam", {{"data_dir", "/dev/null/pool"}}}});
  EXPECT_EQ(answer.code(), 5) << answer.output;
  EXPECT_THAT(answer.output, HasSubstr("/dev/null/pool"));
}

TEST_F(Netplug, VersionNeedsNothingElse) {
  const json answer = call("VERSION").json();
  EXPECT_EQ(answer["supportedVersions"], (json{"1.0.0", "1.1.0"}));
}

// Each case names what it changes in a correct call, and what the answer must say.
TEST_F(Netplug, RefusesInvalidArguments) {
  std::ifstream file("data/cni_invalid_arguments.json");
  Container& c = container();
  for (const json& entry : json::parse(file)) {
    CniCall call = prepared(entry.value("command", "ADD"), c, entry.value("config", json()));
    if (entry.contains("input")) call.input = entry["input"];
    if (entry.contains("container")) call.container = entry["container"];
    if (entry.contains("interface")) call.interface = entry["interface"];
    if (entry.contains("netns")) call.netns = entry["netns"];
    const CniAnswer answer = call_plugin(call).value();
    EXPECT_EQ(shell_exit_code(answer.status), 1) << entry;
    EXPECT_EQ(answer.code(), entry["code"]) << entry << answer.output;
    for (const json& part : entry["says"])
      EXPECT_THAT(answer.output, HasSubstr(part.get<std::string>())) << entry;
  }
}

}  // namespace
}  // namespace conode::test
