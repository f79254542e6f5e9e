// SPDX-License-Identifier: Apache-2.0
// Many at once, killed in the middle, and through the reference runtime library (cnitool).
#include <sys/mount.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <ctime>
#include <random>
#include <set>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "netplug/link/bridge.h"
#include "netplug/link/route.h"
#include "tests/support/cni_fixture.h"

namespace conode::test {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;
using testing::SizeIs;

class NetplugCrowd : public CniFixture {
 protected:
  // All at once; every one must succeed.
  std::vector<CniAnswer> all(const std::string& command, const std::vector<Container*>& crowd) {
    std::vector<RunningPlugin> running;
    for (Container* c : crowd)
      running.push_back(RunningPlugin::start(prepared(command, *c)).value());
    std::vector<CniAnswer> answers;
    for (RunningPlugin& plugin : running) {
      answers.push_back(plugin.wait().value());
      EXPECT_TRUE(answers.back().ok()) << answers.back().output;
    }
    return answers;
  }
};

TEST_F(NetplugCrowd, ThirtyTwoAtOnce) {
  std::vector<Container*> crowd;
  while (crowd.size() < 32) crowd.push_back(&container());
  std::set<std::string> addresses;
  for (const CniAnswer& answer : all("ADD", crowd))
    addresses.insert(answer.json()["ips"][0]["address"].get<std::string>());
  EXPECT_THAT(addresses, SizeIs(32));
  EXPECT_THAT(reserved(), SizeIs(32));
  all("DEL", crowd);
}

// The instant of the kill is the fault that is injected, so it is a time and not an event.
void wait_some(std::chrono::nanoseconds time) {
  const timespec span{.tv_nsec = static_cast<long>(time.count())};
  (void)::clock_nanosleep(CLOCK_MONOTONIC, 0, &span, nullptr);
}

TEST_F(NetplugCrowd, KilledAddsAreCollected) {
  Container& first = container();
  const auto start = steady_clock::now();
  add(first);
  const auto whole = steady_clock::now() - start;
  std::mt19937_64 random(testing::UnitTest::GetInstance()->random_seed());
  std::uniform_int_distribution<int64_t> instant(0, whole.count() * 3 / 2);
  int killed = 0;
  for (int round = 0; round < 40; ++round) {
    Container& c = container();
    RunningPlugin plugin = RunningPlugin::start(prepared("ADD", c)).value();
    wait_some(std::chrono::nanoseconds(instant(random)));
    ASSERT_TRUE(plugin.process().kill(SIGKILL));
    const CniAnswer answer = plugin.wait().value();
    killed += std::holds_alternative<Signaled>(answer.status) ? 1 : 0;
    if (round % 4 == 0) {
      EXPECT_TRUE(call("DEL", c).ok());
    }
    if (round % 4 == 1) c.remove();
  }
  EXPECT_GT(killed, 0);
  const CniAnswer collected = call("GC", keeping({&first}));
  ASSERT_TRUE(collected.ok()) << collected.output;
  EXPECT_THAT(reserved(), SizeIs(1));
  wait_for_background();
  EXPECT_THAT(pod_links(), SizeIs(1));
  EXPECT_TRUE(call("DEL", first).ok());
}

TEST_F(NetplugCrowd, AKilledAddCanBeRepeatedAfterDel) {
  for (int round = 0; round < 10; ++round) {
    Container& c = container();
    RunningPlugin plugin = RunningPlugin::start(prepared("ADD", c)).value();
    wait_some(std::chrono::microseconds(300 * round));
    ASSERT_TRUE(plugin.process().kill(SIGKILL));
    ASSERT_TRUE(plugin.wait());
    ASSERT_TRUE(call("DEL", c).ok());
    add(c);
    ASSERT_TRUE(call("DEL", c).ok());
  }
}

// ADDs and DELs killed anywhere, also those of host ports and on a bridge: what GC leaves is the
// whole range.
TEST_F(NetplugCrowd, NoAddressIsLostByKills) {
  constexpr int kCapacity = 14;
  const json small = {{"ipam", {{"range", "10.244.0.0/28"}}}};
  std::mt19937_64 random(testing::UnitTest::GetInstance()->random_seed());
  std::uniform_int_distribution<int64_t> instant(0, 4'000'000);
  for (int round = 0; round < 120; ++round) {
    json variant = small;
    const json port = {{"hostPort", 8000 + round}, {"containerPort", 80}};
    if (round % 3 == 1) variant["runtimeConfig"] = {{"portMappings", {port}}};
    if (round % 3 == 2 && has_bridge_netfilter()) variant["mode"] = "bridge";
    Container& c = container();
    if (round % 2 == 0) (void)call("ADD", c, variant);
    RunningPlugin plugin =
        RunningPlugin::start(prepared(round % 2 == 0 ? "DEL" : "ADD", c, variant)).value();
    wait_some(std::chrono::nanoseconds(instant(random)));
    ASSERT_TRUE(plugin.process().kill(SIGKILL));
    ASSERT_TRUE(plugin.wait());
    if (round % 10 == 9) {
      EXPECT_TRUE(call("GC", small).ok());
    }
  }
  while (::wait(nullptr) > 0) continue;  // programs that were killed with the plugin: no failures
  const CniAnswer collected = call("GC", small);
  ASSERT_TRUE(collected.ok()) << collected.output;
  EXPECT_THAT(list_dir(dir() + "/pool/test/ports").value_or(std::vector<std::string>{}),
              testing::IsEmpty());
  std::vector<Container*> crowd;
  std::set<std::string> addresses;
  while (crowd.size() < kCapacity) {
    crowd.push_back(&container());
    addresses.insert(add(*crowd.back(), small).text());
  }
  EXPECT_THAT(addresses, SizeIs(kCapacity));
  EXPECT_EQ(call("ADD", container(), small).code(), 11);
  for (const Container* c : crowd) EXPECT_TRUE(call("DEL", *c, small).ok());
  Socket node = Socket::open().value();
  EXPECT_TRUE(delete_link(node, "cnbr0"));
  EXPECT_TRUE(set_route(node, {.destination = Ipv4Prefix::parse(kRange).value()}));
}

TEST_F(NetplugCrowd, CnitoolDrivesIt) {
  const char* bundle = std::getenv("CONODE_BUNDLE");
  const std::string tool = bundle == nullptr ? "" : std::string(bundle) + "/extras/cnitool";
  if (bundle == nullptr || !exists(tool))
    GTEST_SKIP() << "CONODE_BUNDLE names no bundle with extras/cnitool";
  // libcni keeps results below /var/lib/cni.
  ASSERT_EQ(::mount("tmpfs", "/var/lib", "tmpfs", 0, nullptr), 0);
  json plugin = json::parse(config());
  const json list = {{"cniVersion", "1.1.0"}, {"name", "test"}, {"plugins", json::array({plugin})}};
  ASSERT_TRUE(make_dir(dir() + "/conf"));
  ASSERT_TRUE(replace_file(dir() + "/conf/10-test.conflist", list.dump()));
  const std::string program = CONODE_CNI;
  const CommandOptions options{
      .environment = {{"NETCONFPATH", dir() + "/conf"},
                      {"CNI_PATH", program.substr(0, program.rfind('/'))}}};
  Container& c = container();
  for (const char* verb : {"add", "check", "gc", "del", "del", "status"}) {
    const auto output = run_command({tool, verb, "test", c.path()}, options);
    ASSERT_TRUE(output) << output.error().message();
    EXPECT_EQ(output->exit_code, 0) << verb << output->standard_output << output->standard_error;
  }
  EXPECT_EQ(::umount2("/var/lib", MNT_DETACH), 0);
}

}  // namespace
}  // namespace conode::test
