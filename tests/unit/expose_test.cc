// SPDX-License-Identifier: Apache-2.0
// Services as ports of the host: what is read, what is wanted, what is opened and what is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "agent/expose/load_balancer.h"
#include "agent/expose/port_table.h"
#include "agent/expose/service.h"
#include "agent/expose/session_table.h"
#include "agent/kubernetes/watch.h"

namespace conode::expose {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

json web(const char* type) {
  return {{"metadata", {{"name", "web"}, {"namespace", "default"}, {"uid", "u1"}}},
          {"spec",
           {{"type", type},
            {"clusterIP", "10.96.0.80"},
            {"ports", {{{"port", 80}, {"nodePort", 30080}, {"protocol", "TCP"}}}}}}};
}

Service service(const json& object) { return service_from_json(object).value(); }

TEST(ServiceObject, IsRead) {
  json object = web("LoadBalancer");
  object["spec"]["loadBalancerSourceRanges"] = {"192.0.2.0/24"};
  object["status"]["loadBalancer"]["ingress"] = {{{"ip", "127.0.0.1"}}};
  const Service s = service(object);
  EXPECT_EQ(s.key.text(), "default/web");
  EXPECT_EQ(s.key.path(), "/api/v1/namespaces/default/services/web");
  EXPECT_EQ(s.type, ServiceType::load_balancer);
  ASSERT_THAT(s.ports, SizeIs(1));
  EXPECT_EQ(s.ports[0].node_port, 30080);
  EXPECT_EQ(s.sources.front().text(), "192.0.2.0/24");
  EXPECT_EQ(s.ingress[0]["ip"], "127.0.0.1");
  EXPECT_TRUE(is_ours(s));
}

TEST(ServiceObject, NonsenseIsRefused) {
  EXPECT_FALSE(service_from_json({}));
  EXPECT_FALSE(service_from_json({{"metadata", {{"name", 7}}}}));
  EXPECT_FALSE(service_from_json(web("Teleport")));
  json object = web("NodePort");
  object["spec"]["ports"][0]["protocol"] = "carrier pigeon";
  EXPECT_FALSE(service_from_json(object));
}

TEST(ServiceObject, RangesThatNobodyCanComeFromLetNobodyIn) {
  json object = web("LoadBalancer");
  object["spec"]["loadBalancerSourceRanges"] = {"2001:db8::/32", "everywhere"};
  const Service read = service(object);
  ASSERT_EQ(read.sources.size(), 2U);  // none at all would be everybody
  for (const Ipv4Prefix& source : read.sources)
    EXPECT_FALSE(source.contains(Ipv4Address::parse("192.0.2.1").value()));
}

TEST(ServiceObject, SomeonesElseLoadBalancerIsNotOurs) {
  json object = web("LoadBalancer");
  object["spec"]["loadBalancerClass"] = "example.com/cloud";
  EXPECT_FALSE(is_ours(service(object)));
  object["spec"]["loadBalancerClass"] = kLoadBalancerClass;
  EXPECT_TRUE(is_ours(service(object)));
}

TEST(Target, HasAServiceAndMaybeAPort) {
  EXPECT_EQ(parse_target("svc/web").value().service, "web");
  EXPECT_EQ(parse_target("service/web:http").value().port, "http");
  EXPECT_EQ(parse_target("services/web:80").value().port, "80");
}

TEST(Target, AnythingElseIsRefusedWithWhatToDo) {
  for (const char* bad : {"", "web", "deploy/web", "svc/", "svc/Web", "svc/a/b", "svc/../x",
                          "svc/web:", "svc/web:8_0", "svc/-a"})
    EXPECT_FALSE(parse_target(bad)) << bad;
  EXPECT_THAT(parse_target("deploy/web").error().remedy, HasSubstr("svc/NAME"));
}

TEST(FindPort, ByNumberByNameAndTheOnlyOne) {
  json object = web("ClusterIP");
  object["spec"]["ports"][0]["name"] = "http";
  Service s = service(object);
  EXPECT_EQ(find_port(s, "").value().port, 80);
  EXPECT_EQ(find_port(s, "http").value().port, 80);
  EXPECT_EQ(find_port(s, "80").value().port, 80);
  s.ports.push_back({"dns", Protocol::udp, 53, 0});
  EXPECT_FALSE(find_port(s, ""));
  EXPECT_THAT(find_port(s, "").error().remedy, HasSubstr("80 (http), 53 (dns)"));
  EXPECT_FALSE(find_port(s, "81"));
  s.ports.push_back({"dns-tcp", Protocol::tcp, 53, 0});
  EXPECT_EQ(find_port(s, "53").value().protocol, Protocol::tcp);
}

TEST(WantedPorts, FollowTheType) {
  EXPECT_THAT(wanted_ports(service(web("ClusterIP")), "127.0.0.1"), IsEmpty());
  const auto node_port = wanted_ports(service(web("NodePort")), "127.0.0.1");
  ASSERT_THAT(node_port, SizeIs(1));
  EXPECT_EQ(node_port[0].host_port, 30080);
  EXPECT_EQ(node_port[0].service_port, 80);
  EXPECT_EQ(node_port[0].target, "10.96.0.80");
  const auto balanced = wanted_ports(service(web("LoadBalancer")), "127.0.0.1");
  ASSERT_THAT(balanced, SizeIs(2));
  EXPECT_EQ(balanced[1].host_port, 80);
  json headless = web("NodePort");
  headless["spec"]["clusterIP"] = "None";
  EXPECT_THAT(wanted_ports(service(headless), "127.0.0.1"), IsEmpty());
  EXPECT_THAT(obstacle(service(headless)), HasSubstr("headless"));
}

// A host on which some ports are taken.
class PortTableTest : public testing::Test {
 protected:
  struct Port final : OpenPort {
    Port(std::map<uint16_t, int>& all, uint16_t number) : all_(all), number_(number) {
      ++all_[number_];
    }
    ~Port() override { --all_[number_]; }
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;
    [[nodiscard]] uint16_t port() const override { return number_; }
    std::map<uint16_t, int>& all_;
    uint16_t number_;
  };

  static PortSpec spec(const char* name, uint16_t port, Origin origin = Origin::node_port) {
    return {.service = {"default", name},
            .origin = origin,
            .address = "127.0.0.1",
            .host_port = port,
            .target = "10.96.0.80",
            .service_port = 80,
            .sources = {}};
  }
  [[nodiscard]] bool is_open(uint16_t port) const {
    return open_.contains(port) && open_.at(port) == 1;
  }

  std::set<uint16_t> taken_;
  std::map<uint16_t, int> open_;
  int attempts_ = 0;
  PortTable table_{[this](const PortSpec& s) -> Result<std::unique_ptr<OpenPort>> {
    ++attempts_;
    if (taken_.contains(s.host_port)) return code_failure(EADDRINUSE, "listen on " + s.text());
    return std::make_unique<Port>(open_, s.host_port == 0 ? uint16_t{40000} : s.host_port);
  }};
  const ServiceKey web_{"default", "web"};
  const ServiceKey other_{"default", "other"};
};

TEST_F(PortTableTest, OpensWhatIsWantedAndClosesTheRest) {
  EXPECT_THAT(table_.set(web_, {spec("web", 1), spec("web", 2)}), ElementsAre(web_));
  EXPECT_TRUE(is_open(1) && is_open(2));
  EXPECT_THAT(table_.set(web_, {spec("web", 2)}), ElementsAre(web_));
  EXPECT_FALSE(is_open(1));
  EXPECT_TRUE(is_open(2));
  EXPECT_THAT(table_.set(web_, {spec("web", 2)}), IsEmpty());
  EXPECT_EQ(attempts_, 2);
  (void)table_.set(web_, {});
  EXPECT_FALSE(is_open(2));
  EXPECT_THAT(table_.entries(), IsEmpty());
}

TEST_F(PortTableTest, AnotherTargetIsAnotherPort) {
  (void)table_.set(web_, {spec("web", 1)});
  PortSpec moved = spec("web", 1);
  moved.target = "10.96.0.81";
  EXPECT_THAT(table_.set(web_, {moved}), ElementsAre(web_));
  EXPECT_TRUE(is_open(1));
  EXPECT_EQ(table_.entries().front().spec.target, "10.96.0.81");
}

TEST_F(PortTableTest, ATakenPortIsRefusedWithItsCauseAndTriedAgain) {
  taken_ = {1};
  EXPECT_THAT(table_.set(web_, {spec("web", 1)}), ElementsAre(web_));
  ASSERT_TRUE(table_.entries().front().refused);
  EXPECT_THAT(table_.entries().front().refused->message(), HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(table_.set(web_, {spec("web", 1)}), IsEmpty());  // still so
  taken_.clear();
  EXPECT_THAT(table_.set(web_, {spec("web", 1)}), ElementsAre(web_));
  EXPECT_TRUE(is_open(1));
  EXPECT_FALSE(table_.entries().front().refused);
}

TEST_F(PortTableTest, APortOfOursGoesToWhoWaitsForIt) {
  (void)table_.set(web_, {spec("web", 1)});
  EXPECT_THAT(table_.set(other_, {spec("other", 1)}), ElementsAre(other_));
  ASSERT_TRUE(table_.entries().back().refused);
  EXPECT_THAT(table_.entries().back().refused->message(), HasSubstr("default/web"));
  EXPECT_THAT(table_.set(web_, {}), ElementsAre(other_, web_));
  EXPECT_TRUE(is_open(1));
  EXPECT_TRUE(table_.entries().front().open);
}

TEST_F(PortTableTest, AFreePortIsTheOneThatItGot) {
  (void)table_.set(web_, {spec("web", 0, Origin::request)});
  EXPECT_EQ(table_.entries().front().port(), 40000);
}

TEST(Ingress, SaysWhereTheServiceIsReached) {
  const Service s = service(web("LoadBalancer"));
  std::vector<PortEntry> entries;
  for (const PortSpec& spec : wanted_ports(s, "192.0.2.7")) entries.push_back({spec, nullptr, {}});
  EXPECT_EQ(ingress_of(s, entries, "node"), json::array()) << "nothing is open";
  struct Open final : OpenPort {
    [[nodiscard]] uint16_t port() const override { return 80; }
  };
  entries[1].open = std::make_unique<Open>();
  const json ingress = ingress_of(s, entries, "node");
  ASSERT_THAT(ingress, SizeIs(1));
  EXPECT_EQ(ingress[0]["ip"], "192.0.2.7");
  EXPECT_EQ(ingress[0]["ipMode"], "Proxy");
  EXPECT_EQ(ingress[0]["ports"][0]["port"], 80);
  EXPECT_FALSE(ingress[0]["ports"][0].contains("error"));
  entries[1].spec.address = "0.0.0.0";
  EXPECT_EQ(ingress_of(s, entries, "node")[0]["hostname"], "node");
}

TEST(Ingress, NamesThePortThatWasRefused) {
  json object = web("LoadBalancer");
  object["spec"]["ports"].push_back({{"name", "b"}, {"port", 81}, {"nodePort", 30081}});
  const Service s = service(object);
  std::vector<PortEntry> entries;
  for (const PortSpec& spec : wanted_ports(s, "127.0.0.1")) entries.push_back({spec, nullptr, {}});
  struct Open final : OpenPort {
    [[nodiscard]] uint16_t port() const override { return 80; }
  };
  entries[1].open = std::make_unique<Open>();
  entries[3].refused = Error{{}, "listen on 127.0.0.1:81", "choose another"};
  EXPECT_EQ(ingress_of(s, entries, "node")[0]["ports"][1]["error"], "conode.io/HostPortRefused");
  const json event = json::parse(refusal_event(s, entries[3], "2026-01-02T03:04:05Z"));
  EXPECT_EQ(event["involvedObject"]["name"], "web");
  EXPECT_EQ(event["type"], "Warning");
  EXPECT_EQ(event["message"], "listen on 127.0.0.1:81; choose another");
}

struct Clients : testing::Test {
  using Time = SessionTable::Time;
  static SessionTable::Client client(uint16_t port) {
    return {boost::asio::ip::address_v4::loopback(), port};
  }
  // The table does not look into a session.
  static SessionTable::SessionPtr session() {
    return {std::make_shared<int>(), reinterpret_cast<DatagramSession*>(1)};
  }
  static constexpr Time at(int seconds) { return Time(std::chrono::seconds(seconds)); }
  SessionTable table{2, std::chrono::seconds(10)};
};

TEST_F(Clients, AreForgottenWhenTheyAreSilent) {
  EXPECT_FALSE(table.next_expiry());
  (void)table.insert(client(1), session(), at(0));
  (void)table.insert(client(2), session(), at(1));
  EXPECT_EQ(table.next_expiry(), at(10));
  EXPECT_TRUE(table.find(client(1), at(5)));
  EXPECT_EQ(table.next_expiry(), at(11));
  EXPECT_THAT(table.expire(at(10)), IsEmpty());
  EXPECT_THAT(table.expire(at(11)), SizeIs(1));
  EXPECT_FALSE(table.find(client(2), at(11)));
  table.touch(client(1), at(14));
  EXPECT_THAT(table.expire(at(15)), IsEmpty());
  EXPECT_THAT(table.expire(at(24)), SizeIs(1));
  EXPECT_EQ(table.size(), 0U);
}

TEST_F(Clients, MakeRoomForNewOnes) {
  (void)table.insert(client(1), session(), at(0));
  (void)table.insert(client(2), session(), at(1));
  (void)table.find(client(1), at(2));
  EXPECT_TRUE(table.insert(client(3), session(), at(3)));
  EXPECT_FALSE(table.find(client(2), at(3)));
  EXPECT_TRUE(table.find(client(1), at(3)));
  table.erase(client(1));
  table.erase(client(1));
  EXPECT_THAT(table.clear(), SizeIs(1));
}

struct Watch : testing::Test {
  std::vector<std::string> seen;
  kubernetes::WatchHandlers handlers{
      [this](const json& items) { seen.push_back("list " + std::to_string(items.size())); },
      [this](const std::string& type, const json& object) {
        seen.push_back(type + " " + object["metadata"]["name"].get<std::string>());
      }};
  kubernetes::WatchReader reader{handlers};
};

TEST_F(Watch, GoesOnWhereItWas) {
  ASSERT_TRUE(reader.take_list(R"({"metadata":{"resourceVersion":"5"},"items":[{}]})"));
  EXPECT_EQ(reader.version(), "5");
  EXPECT_TRUE(reader.take_line(
      R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"6"}}})"));
  EXPECT_TRUE(
      reader.take_line(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})"));
  EXPECT_EQ(reader.version(), "9");
  EXPECT_TRUE(reader.take_line(
      R"({"type":"DELETED","object":{"metadata":{"name":"a","resourceVersion":"10"}}})"));
  EXPECT_THAT(seen, ElementsAre("list 1", "ADDED a", "DELETED a"));
}

TEST_F(Watch, ListsAgainWhenItsVersionIsForgotten) {
  ASSERT_TRUE(reader.take_list(R"({"metadata":{"resourceVersion":"5"},"items":[]})"));
  EXPECT_FALSE(reader.take_line(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}})"));
  EXPECT_EQ(reader.version(), "");
}

TEST_F(Watch, NonsenseIsNoEvent) {
  EXPECT_FALSE(reader.take_list("<html>"));
  EXPECT_FALSE(reader.take_list(R"({"kind":"Status"})"));
  EXPECT_TRUE(reader.take_line("}{"));
  EXPECT_TRUE(reader.take_line(R"({"type":"ADDED"})"));
  EXPECT_TRUE(reader.take_line(R"({"type":"NEW","object":{"metadata":{"name":"x"}}})"));
  EXPECT_THAT(seen, IsEmpty());
}

}  // namespace
}  // namespace conode::expose
