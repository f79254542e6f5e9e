// SPDX-License-Identifier: Apache-2.0
// The rootless relay between two nodes against TCP between their hosts, on one veth pair of MTU
// 1500, interleaved in one run: throughput by iperf3, round trips of 64 bytes over TCP, CPU.
//
// usage: net_relay_bench [--rounds N] [--seconds S] [--streams 1,4] [--queues N] [--mtu N]
//                        [--spin US] [--pods] [PATH...]
//        PATH: host tcp tcp-aes udp udp-aes
// Writes {"bench": "net_relay", "rows": [...]} on standard output and a table on standard error.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/process.h"
#include "tests/support/cni_world.h"
#include "tests/support/traffic.h"
#include "tests/support/uplink_world.h"

namespace conode::test {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Samples = std::vector<double>;

struct Path {
  std::string name;
  bool relay = true;
  CarrierKind carrier = CarrierKind::tcp;
  RelayEncryption encryption = RelayEncryption::none;
};
const std::vector<Path> kPaths{
    {.name = "host", .relay = false},
    {.name = "tcp"},
    {.name = "tcp-aes", .encryption = RelayEncryption::aes_gcm},
    {.name = "udp", .carrier = CarrierKind::udp},
    {.name = "udp-aes", .carrier = CarrierKind::udp, .encryption = RelayEncryption::aes_gcm},
};

double quantile(Samples samples, double q) {
  std::sort(samples.begin(), samples.end());
  return samples.at(static_cast<size_t>(q * static_cast<double>(samples.size() - 1)));
}

// Seconds that all CPUs of the machine have been busy.
double busy_seconds() {
  std::ifstream stat("/proc/stat");
  std::string name;
  stat >> name;
  double sum = 0;
  for (int field = 0; field < 8; ++field) {
    double ticks = 0;
    stat >> ticks;
    if (field != 3 && field != 4) sum += ticks;  // idle, iowait
  }
  return sum / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double own_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

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

// One end of a measured path.
struct Ends {
  const Netns* from;
  const Netns* to;
  std::string address;
};

class Bench {
 public:
  Bench(UplinkWorld world, Options options)
      : world_(std::move(world)), options_(std::move(options)) {}
  Result<void> run();
  [[nodiscard]] json rows() const;

 private:
  Result<void> measure(const Path& path);
  Result<void> throughput(const Ends& ends, const std::string& path, int streams);
  Result<void> round_trips(const Ends& ends, const std::string& path);

  UplinkWorld world_;
  Options options_;
  std::map<std::pair<std::string, std::string>, Samples> series_;  // metric, path
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
  if (path.relay) {
    TRY(world_.start_relays({.queues = options_.queues,
                             .carrier = path.carrier,
                             .encryption = path.encryption,
                             .mtu = options_.mtu,
                             .spin = std::chrono::microseconds(options_.spin)}));
    ends = {&a.sandbox(), &b.sandbox(), b.node_address()};
    if (options_.pods) ends = {&a.pod(), &b.pod(), b.pod_address()};
  }
  for (const int streams : options_.streams) TRY(throughput(ends, path.name, streams));
  TRY(round_trips(ends, path.name));
  if (path.relay)
    for (UplinkNode& node : world_.nodes()) {
      for (const RelayDrop& drop : node.relay().status().drops)
        if (drop.frames > 0)
          std::cerr << fmt::format("  node {}: {} {}\n", node.rank(), drop.cause, drop.frames);
      node.stop_relay();
    }
  return {};
}

// In /proc/net/tcp6: port 5201 in state TCP_LISTEN.
constexpr const char* kListening = ":1451 00000000000000000000000000000000:0000 0A";

// Until iperf3's port is listened at, in the calling thread's namespace.
Result<void> wait_for_server() {
  const bool listening = eventually([] {
    return read_file("/proc/thread-self/net/tcp6").value_or("").find(kListening) !=
           std::string::npos;
  });
  if (!listening) return failure("iperf3 --server does not listen");
  return {};
}

Result<void> Bench::throughput(const Ends& ends, const std::string& path, int streams) {
  Process server = TRY(ends.to->run([&]() -> Result<Process> {
    Process made = TRY(Process::spawn({.argv = {"iperf3", "--server", "--logfile", "/dev/null"}}));
    TRY(wait_for_server());
    return made;
  }));
  const double busy = busy_seconds();
  const double own = own_seconds();
  const CommandOutput client = TRY(ends.from->run([&] {
    return run_command({"iperf3", "--json", "--client", ends.address, "--time",
                        fmt::format("{}", options_.seconds), "--parallel",
                        fmt::format("{}", streams)});
  }));
  TRY(server.kill(SIGKILL));
  TRY(server.wait());
  const json document(json::parse(client.standard_output, nullptr, false));
  const json::json_pointer received("/end/sum_received");
  if (!document.is_object() || !document.contains(received) || client.exit_code != 0)
    return failure("iperf3: " + client.standard_output + client.standard_error);
  const double gbit = document[received].value("bytes", 0.0) * 8 / 1e9;
  const double speed = document[received].value("bits_per_second", 0.0) / 1e9;
  const std::string suffix = fmt::format(", {} stream{}", streams, streams == 1 ? "" : "s");
  series_[{"Gbit/s" + suffix, path}].push_back(speed);
  series_[{"machine CPU s/Gbit" + suffix, path}].push_back((busy_seconds() - busy) / gbit);
  series_[{"relay CPU s/Gbit" + suffix, path}].push_back((own_seconds() - own) / gbit);
  return {};
}

// Both ends in this thread: what is measured is the path, and one wake-up less than usual.
Result<void> Bench::round_trips(const Ends& ends, const std::string& path) {
  constexpr int kTrips = 2000;
  const TcpListener listener = TRY(listen_in(*ends.to));
  const UniqueFd client = TRY(ends.from->run([&]() -> Result<UniqueFd> {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(listener.port)};
    ::inet_pton(AF_INET, ends.address.c_str(), &to.sin_addr);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      return errno_failure("connect to " + ends.address);
    return fd;
  }));
  const UniqueFd server(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!server) return errno_failure("accept");
  const int on = 1;
  for (const int fd : {client.get(), server.get()})
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::thread echo([&] {
    std::array<char, 64> bytes{};
    while (::recv(server.get(), bytes.data(), bytes.size(), MSG_WAITALL) == 64)
      if (::send(server.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != 64) break;
  });
  Samples& trips = series_[{"RTT us", path}];
  std::array<char, 64> bytes{};
  for (int i = 0; i < kTrips; ++i) {
    const auto start = Clock::now();
    if (::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != 64 ||
        ::recv(client.get(), bytes.data(), bytes.size(), MSG_WAITALL) != 64)
      break;
    trips.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  (void)::shutdown(client.get(), SHUT_RDWR);
  echo.join();
  return {};
}

json Bench::rows() const {
  json all = json::array();
  std::cerr << fmt::format("{:32} {:8} {:>9} {:>9} {:>9} {:>9} {:>6}\n", "metric", "path", "p50",
                           "min", "max", "p99", "/host");
  for (const auto& [key, samples] : series_) {
    const auto& [metric, path] = key;
    const double median = quantile(samples, 0.5);
    const auto host = series_.find({metric, "host"});
    const double ratio = host == series_.end() ? 0 : median / quantile(host->second, 0.5);
    all.push_back({{"metric", metric},
                   {"path", path},
                   {"median", median},
                   {"min", quantile(samples, 0)},
                   {"max", quantile(samples, 1)},
                   {"p99", quantile(samples, 0.99)},
                   {"samples", samples.size()},
                   {"of_host", ratio}});
    std::cerr << fmt::format("{:32} {:8} {:9.3f} {:9.3f} {:9.3f} {:9.3f} {:6.2f}\n", metric, path,
                             median, quantile(samples, 0), quantile(samples, 1),
                             quantile(samples, 0.99), ratio);
  }
  return {{"bench", "net_relay"}, {"rows", all}};
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
