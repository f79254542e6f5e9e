// SPDX-License-Identifier: Apache-2.0
// The rootless relay between two nodes against TCP between their hosts, on one veth pair of MTU
// 1500, interleaved in one run: throughput by iperf3, round trips of 64 bytes over TCP, CPU.
//
// usage: net_relay_bench [--rounds N] [--seconds S] [--streams 1,4] [--queues N] [--mtu N]
//                        [--spin US] [--pods] [PATH...]
//        PATH: host tcp tcp-aes udp udp-aes pasta-vxlan slirp4netns-vxlan
// Writes {"bench": "net_relay", "rows": [...]} on standard output and a table on standard error.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/bench/path_measurements.h"
#include "tests/bench/user_mode_vxlan.h"
#include "tests/support/cni_world.h"
#include "tests/support/uplink_world.h"

namespace conode::test {
namespace {

using nlohmann::json;

struct Path {
  std::string name;
  bool relay = true;
  std::optional<UserModeVxlan::Program> peers;  // as others do it
  CarrierKind carrier = CarrierKind::tcp;
  RelayEncryption encryption = RelayEncryption::none;
};
const std::vector<Path> kPaths{
    {.name = "host", .relay = false},
    {.name = "tcp"},
    {.name = "tcp-aes", .encryption = RelayEncryption::aes_gcm},
    {.name = "udp", .carrier = CarrierKind::udp},
    {.name = "udp-aes", .carrier = CarrierKind::udp, .encryption = RelayEncryption::aes_gcm},
    {.name = "pasta-vxlan", .relay = false, .peers = UserModeVxlan::Program::pasta},
    {.name = "slirp4netns-vxlan", .relay = false, .peers = UserModeVxlan::Program::slirp4netns},
};

struct Options {
  int rounds = 5;
  int seconds = 2;
  size_t queues = 1;
  int mtu = kRelayMtu;
  int spin = 0;
  bool pods = false;
  std::vector<int> streams{1, 4};
  std::vector<std::string> paths;
};

class Bench {
 public:
  Bench(UplinkWorld world, Options options)
      : world_(std::move(world)), options_(std::move(options)), measured_(options_.seconds) {}
  Result<void> run();
  [[nodiscard]] json rows() const { return measured_.rows("net_relay", "host"); }

 private:
  Result<void> measure(const Path& path);

  UplinkWorld world_;
  Options options_;
  PathMeasurements measured_;
};

Result<void> Bench::run() {
  for (int round = 0; round < options_.rounds; ++round) {
    for (const Path& path : kPaths) {
      if (!options_.paths.empty() && std::find(options_.paths.begin(), options_.paths.end(),
                                               path.name) == options_.paths.end())
        continue;
      std::cerr << fmt::format("round {}/{}: {}\n", round + 1, options_.rounds, path.name);
      TRY_AS(path.name, measure(path));
    }
  }
  return {};
}

Result<void> Bench::measure(const Path& path) {
  UplinkNode& a = world_.node(0);
  UplinkNode& b = world_.node(1);
  Ends ends{&a.host(), &b.host(), b.host_address()};
  std::optional<UserModeVxlan> peers;
  if (path.peers) {
    peers.emplace(TRY(UserModeVxlan::start(*path.peers, a, b)));
    ends = peers->ends();
  }
  if (path.relay) {
    TRY(world_.start_relays({.queues = options_.queues,
                             .carrier = path.carrier,
                             .encryption = path.encryption,
                             .mtu = options_.mtu,
                             .spin = std::chrono::microseconds(options_.spin)}));
    ends = {&a.sandbox(), &b.sandbox(), b.node_address()};
    if (options_.pods) ends = {&a.pod(), &b.pod(), b.pod_address()};
  }
  for (const int streams : options_.streams) TRY(measured_.throughput(ends, path.name, streams));
  TRY(measured_.round_trips(ends, path.name));
  if (path.relay)
    for (UplinkNode& node : world_.nodes()) {
      for (const RelayDrop& drop : node.relay().status().drops)
        if (drop.frames > 0)
          std::cerr << fmt::format("  node {}: {} {}\n", node.rank(), drop.cause, drop.frames);
      node.stop_relay();
    }
  return {};
}

Result<json> run(const Options& options) {
  TRY(enter_private_namespaces());
  UplinkWorld world = TRY(UplinkWorld::create(2, Wire::direct));
  for (UplinkNode& node : world.nodes()) TRY(node.make_pod());
  Bench bench(std::move(world), options);
  TRY(bench.run());
  return bench.rows();
}

}  // namespace
}  // namespace conode::test

int main(int argc, char** argv) {
  conode::test::Options options;
  CLI::App app{"The relay against the hosts' TCP"};
  app.add_option("--rounds", options.rounds);
  app.add_option("--seconds", options.seconds);
  app.add_option("--queues", options.queues);
  app.add_option("--mtu", options.mtu);
  app.add_option("--spin", options.spin, "microseconds");
  app.add_option("--streams", options.streams)->delimiter(',')->allow_extra_args(false);
  app.add_flag("--pods", options.pods, "between pods instead of the nodes' sandboxes");
  app.add_option("paths", options.paths);
  CLI11_PARSE(app, argc, argv);
  const conode::Result<nlohmann::json> done = conode::test::run(options);
  if (!done) {
    std::cerr << "net_relay_bench: " << done.error().message() << "\n";
    if (!done.error().remedy.empty()) std::cerr << "  " << done.error().remedy << "\n";
    return 1;
  }
  std::cout << done->dump(2) << "\n";
  return 0;
}
