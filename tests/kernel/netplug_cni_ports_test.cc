// SPDX-License-Identifier: Apache-2.0
// conode-cni's host ports, in both modes.
#include <fmt/format.h>

#include <csignal>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "netplug/link/bridge.h"
#include "netplug/link/route.h"
#include "tests/support/cni_fixture.h"
#include "tests/support/traffic.h"

namespace conode::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

json with_ports(const json& ports) { return {{"runtimeConfig", {{"portMappings", ports}}}}; }

json port(int host, int container, const char* address = "") {
  return {
      {"hostPort", host}, {"containerPort", container}, {"protocol", "TCP"}, {"hostIP", address}};
}

// As containerd sends it: go-cni's structure has no names of its own for JSON.
json port_by_containerd(int host, int container) {
  return {{"HostPort", host}, {"ContainerPort", container}, {"Protocol", "tcp"}, {"HostIP", ""}};
}

class CniPorts : public CniFixture {
 protected:
  void SetUp() override {
    CniFixture::SetUp();
    if (IsSkipped()) return;
    if (find_program("nft").empty()) GTEST_SKIP() << "nft is not installed";
  }
  void TearDown() override {
    if (!IsSkipped()) {
      EXPECT_THAT(marks(), IsEmpty());
    }
    CniFixture::TearDown();
  }
  [[nodiscard]] std::vector<std::string> marks() const {
    return list_dir(dir() + "/pool/test/ports").value_or(std::vector<std::string>{});
  }
  static std::string table() {
    return command_output({"nft", "list", "table", "inet", "conode_hostports"}).value_or("");
  }
  Ipv4Address node_address_ = Ipv4Address::parse(kNodeAddress).value();
  Netns node_ = Netns::current().value();
};

TEST_F(CniPorts, LeadToTheContainer) {
  Container& server = container();
  Container& client = container();
  const TcpListener listener = listen_in(server.netns()).value();
  const json ports = with_ports(json::array({port_by_containerd(8080, listener.port)}));
  const Ipv4Address server_address = add(server, ports);
  const Ipv4Address client_address = add(client);
  EXPECT_EQ(exchange(listener, client.netns(), node_address_, 8080).value(), client_address);
  EXPECT_EQ(exchange(listener, node_, node_address_, 8080).value(), node_address_);
  EXPECT_NE(exchange(listener, server.netns(), node_address_, 8080).value(), server_address)
      << "its own: masqueraded";
  EXPECT_FALSE(exchange(listener, client.netns(), node_address_, 8081));
  ASSERT_TRUE(call("DEL", server, ports).ok());
  EXPECT_FALSE(exchange(listener, node_, node_address_, 8080));
  EXPECT_TRUE(call("DEL", client).ok());
}

TEST_F(CniPorts, LeadToAContainerOnABridge) {
  if (!has_bridge_netfilter())
    GTEST_SKIP() << "the kernel lacks br_netfilter: modprobe br_netfilter (as root)";
  Container& server = container();
  Container& client = container();
  const TcpListener listener = listen_in(server.netns()).value();
  json ports = with_ports(json::array({port(8080, listener.port)}));
  ports["mode"] = "bridge";
  add(server, ports);
  const Ipv4Address client_address = add(client, {{"mode", "bridge"}});
  EXPECT_EQ(exchange(listener, client.netns(), node_address_, 8080).value(), client_address);
  EXPECT_TRUE(exchange(listener, node_, node_address_, 8080));
  EXPECT_TRUE(exchange(listener, server.netns(), node_address_, 8080));
  EXPECT_TRUE(call("DEL", server, ports).ok());
  EXPECT_TRUE(call("DEL", client, ports).ok());
  Socket node = Socket::open().value();
  EXPECT_TRUE(delete_link(node, "cnbr0").value());
  EXPECT_TRUE(set_route(node, {.destination = Ipv4Prefix::parse(kRange).value()}));
}

TEST_F(CniPorts, OfOneAddressOnly) {
  Container& server = container();
  const TcpListener listener = listen_in(server.netns()).value();
  const json ports = with_ports(json::array({port(8080, listener.port, "10.88.9.9")}));
  add(server, ports);
  EXPECT_FALSE(exchange(listener, node_, node_address_, 8080));
  EXPECT_THAT(table(), HasSubstr("10.88.9.9 . tcp . 8080"));
  EXPECT_TRUE(call("DEL", server, ports).ok());
  EXPECT_THAT(table(), Not(HasSubstr("8080")));
}

TEST_F(CniPorts, AreRefusedWhereTheyAreTaken) {
  Container& first = container();
  Container& second = container();
  const json ports = with_ports(json::array({port(8080, 80), port(8443, 443)}));
  add(first, ports);
  const json overlapping = with_ports(json::array({port(9000, 80), port(8443, 443)}));
  const CniAnswer refused = call("ADD", second, overlapping);
  EXPECT_EQ(refused.code(), 11) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("'tcp . 8443' leads to '10.244.0.1 . 443'"));
  EXPECT_THAT(table(), Not(HasSubstr("9000"))) << "all or none";
  EXPECT_TRUE(call("DEL", second, overlapping).ok());
  EXPECT_THAT(table(), HasSubstr("8443"));
  EXPECT_TRUE(call("DEL", first).ok()) << "not told of its ports";
  EXPECT_THAT(table(), Not(HasSubstr("8443")));
}

TEST_F(CniPorts, AreChecked) {
  Container& c = container();
  json ports = with_ports(json::array({port(8080, 80)}));
  ports["prevResult"] = call("ADD", c, ports).json();
  EXPECT_TRUE(call("CHECK", c, ports).ok()) << call("CHECK", c, ports).output;
  ASSERT_TRUE(command_output({"nft", "delete table inet conode_hostports"}));
  const CniAnswer answer = call("CHECK", c, ports);
  EXPECT_EQ(answer.code(), 100);
  EXPECT_THAT(answer.output, HasSubstr("'tcp . 8080' does not lead to '10.244.0.1 . 80'"));
  EXPECT_TRUE(call("DEL", c, ports).ok()) << "the table is gone already";
}

TEST_F(CniPorts, OfLostContainersAreCollected) {
  Container& kept = container();
  Container& lost = container();
  add(kept, with_ports(json::array({port(8080, 80)})));
  add(lost, with_ports(json::array({port(8081, 80)})));
  ASSERT_TRUE(call("GC", keeping({&kept})).ok());
  EXPECT_THAT(table(), HasSubstr("8080"));
  EXPECT_THAT(table(), Not(HasSubstr("8081")));
  EXPECT_TRUE(call("DEL", kept).ok());
}

TEST_F(CniPorts, ZeroIsNone) {
  Container& c = container();
  add(c, with_ports(json::array({port(0, 80)})));
  EXPECT_THAT(marks(), IsEmpty());
  EXPECT_TRUE(call("DEL", c).ok());
}

TEST_F(CniPorts, ManyAtOnce) {
  std::vector<Container*> crowd;
  std::vector<RunningPlugin> running;
  for (int i = 0; i < 8; ++i) {
    crowd.push_back(&container());
    running.push_back(RunningPlugin::start(prepared("ADD", *crowd.back(),
                                                    with_ports(json::array({port(8000 + i, 80)}))))
                          .value());
  }
  for (RunningPlugin& plugin : running) {
    const CniAnswer answer = plugin.wait().value();
    EXPECT_TRUE(answer.ok()) << answer.output;
  }
  for (int i = 0; i < 8; ++i) EXPECT_THAT(table(), HasSubstr(fmt::format("tcp . 800{}", i)));
  for (const Container* c : crowd) EXPECT_TRUE(call("DEL", *c).ok());
  EXPECT_THAT(table(), Not(HasSubstr("tcp . 800")));
}

}  // namespace
}  // namespace conode::test
