// SPDX-License-Identifier: Apache-2.0
// The job's VXLAN between two nodes against VXLANs of the kernel made by hand with ip(8) on the
// same fabric of MTU 1500, and against TCP between the hosts; interleaved in one run.
//
// usage: net_vxlan_bench [--rounds N] [--seconds S] [--streams 1,4]
// Paths: host     between the hosts
//        moved    a VXLAN moved into the user's namespace: fastest, but he could forge what he
//        likes bridge   a VXLAN and a veth to the user on a bridge of root's: what an administrator
//        would make vxlan    conode-hook's
// Writes {"bench": "net_vxlan", "rows": [...]} on standard output and a table on standard error.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "agent/base/command.h"
#include "tests/bench/path_measurements.h"
#include "tests/support/vxlan_world.h"

namespace conode::test {
namespace {

using nlohmann::json;

constexpr const char* kJob = "4711";

struct Options {
  int rounds = 5;
  int seconds = 2;
  std::vector<int> streams{1, 4};
};

// Lines of `ip` and `bridge` commands, in `netns`.
Result<void> by_hand(const Netns& netns, const std::string& lines) {
  return netns.run([&]() -> Result<void> {
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::vector<std::string> command;
      for (std::string word; words >> word;) command.push_back(word);
      const CommandOutput done = TRY(run_command(command));
      if (done.exit_code != 0) return failure(line + ": " + done.standard_error);
    }
    return {};
  });
}

std::string mac_of(const char* kind, uint32_t rank) {
  return fmt::format("02:00:00:00:{}:{:02x}", kind, rank);
}

// Where `netns` is for ip(8).
std::string place(const Netns& netns) {
  return fmt::format("/proc/{}/fd/{}", ::getpid(), netns.fd());
}

class Bench {
 public:
  Bench(VxlanWorld& world, const Options& options)
      : world_(world), options_(options), measured_(options.seconds) {}
  Result<void> run();
  [[nodiscard]] json rows() const { return measured_.rows("net_vxlan", "bridge"); }

 private:
  Result<void> make_moved(uint32_t rank, uint32_t peer);
  Result<void> make_bridge(uint32_t rank, uint32_t peer);
  Result<void> make_ours(uint32_t rank, uint32_t peer);
  Result<void> measure(const std::string& path, const Ends& ends);

  VxlanWorld& world_;
  Options options_;
  PathMeasurements measured_;
  std::deque<Netns> moved_;
  std::deque<Netns> bridges_;
  std::deque<Netns> bridged_;
  std::deque<UserNetns> ours_;
};

Result<void> Bench::make_moved(uint32_t rank, uint32_t peer) {
  const Netns& user = moved_.emplace_back(TRY(Netns::create()));
  const VxlanHost& host = world_.host(rank);
  TRY(by_hand(host.netns(),
              fmt::format("ip link add moved netns {} address {} type vxlan id 70 local {} dstport "
                          "4789 nolearning",
                          place(user), mac_of("70", rank), host.address())));
  return by_hand(user,
                 fmt::format("ip addr add 10.70.0.{0}/24 dev moved\n"
                             "ip link set moved up\n"
                             "ip neigh add 10.70.0.{1} lladdr {2} dev moved\n"
                             "bridge fdb add {2} dev moved dst {3}",
                             rank + 1, peer + 1, mac_of("70", peer), world_.host(peer).address()));
}

Result<void> Bench::make_bridge(uint32_t rank, uint32_t peer) {
  const Netns& middle = bridges_.emplace_back(TRY(Netns::create()));
  const Netns& user = bridged_.emplace_back(TRY(Netns::create()));
  const VxlanHost& host = world_.host(rank);
  TRY(by_hand(host.netns(),
              fmt::format("ip link add vxlan netns {} type vxlan id 71 local {} dstport 4789 "
                          "nolearning",
                          place(middle), host.address())));
  TRY(by_hand(middle, fmt::format("ip link add bridge type bridge\n"
                                  "ip link set bridge mtu 1450 up\n"
                                  "ip link set vxlan master bridge up\n"
                                  "ip link add near mtu 1450 master bridge type veth peer name far "
                                  "address {} mtu 1450 netns {}\n"
                                  "ip link set near up\n"
                                  "bridge fdb add {} dev vxlan dst {}",
                                  mac_of("71", rank), place(user), mac_of("71", peer),
                                  world_.host(peer).address())));
  return by_hand(user, fmt::format("ip addr add 10.71.0.{}/24 dev far\n"
                                   "ip link set far up\n"
                                   "ip neigh add 10.71.0.{} lladdr {} dev far",
                                   rank + 1, peer + 1, mac_of("71", peer)));
}

Result<void> Bench::make_ours(uint32_t rank, uint32_t peer) {
  const VxlanHost& host = world_.host(rank);
  const HookRun up = TRY(host.hook(world_.up(kJob, rank, 2)));
  if (!up.ok()) return failure(up.output);
  const UserNetns& user = ours_.emplace_back(TRY(UserNetns::create(kJobUser)));
  TRY(host.give(kJob, user, {peer}));
  return {};
}

Result<void> Bench::measure(const std::string& path, const Ends& ends) {
  for (const int streams : options_.streams) TRY(measured_.throughput(ends, path, streams));
  return measured_.round_trips(ends, path);
}

Result<void> Bench::run() {
  for (uint32_t rank = 0; rank < 2; ++rank) {
    TRY(make_moved(rank, 1 - rank));
    TRY(make_bridge(rank, 1 - rank));
    TRY(make_ours(rank, 1 - rank));
  }
  for (int round = 0; round < options_.rounds; ++round) {
    std::cerr << fmt::format("round {}/{}\n", round + 1, options_.rounds);
    TRY(measure("host",
                {&world_.host(0).netns(), &world_.host(1).netns(), world_.host(1).address()}));
    TRY(measure("moved", {&moved_[0], &moved_[1], "10.70.0.2"}));
    TRY(measure("bridge", {&bridged_[0], &bridged_[1], "10.71.0.2"}));
    TRY(measure("vxlan", {&ours_[0].netns(), &ours_[1].netns(), "10.88.0.2"}));
  }
  return {};
}

Result<json> run(const Options& options) {
  TRY(become_root_of_hosts());
  VxlanWorld world = TRY(VxlanWorld::create(2));
  Bench bench(world, options);
  Result<void> done = bench.run();
  for (const VxlanHost& host : world.hosts()) TRY(host.down(kJob));
  TRY(std::move(done));
  return bench.rows();
}

}  // namespace
}  // namespace conode::test

int main(int argc, char** argv) {
  conode::test::Options options;
  CLI::App app{"The job's VXLAN against one made by hand"};
  app.add_option("--rounds", options.rounds);
  app.add_option("--seconds", options.seconds);
  app.add_option("--streams", options.streams)->delimiter(',')->allow_extra_args(false);
  CLI11_PARSE(app, argc, argv);
  const conode::Result<nlohmann::json> done = conode::test::run(options);
  if (!done) {
    std::cerr << "net_vxlan_bench: " << done.error().message() << "\n";
    return 1;
  }
  std::cout << done->dump(2) << "\n";
  return 0;
}
