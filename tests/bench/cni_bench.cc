// SPDX-License-Identifier: Apache-2.0
// Latency of ADD and DEL: conode-cni against the reference plugins, interleaved in one run on a
// node of private namespaces. Every attachment has a fresh network namespace, which is removed
// after DEL as a runtime does.
//
// usage: cni_bench PLUGIN_DIR [ROUNDS]     PLUGIN_DIR holds ptp, host-local, and may hold bridge
// and
//                                          cnitool (then everything is measured through it as well)
// Writes {"bench": "cni", "rows": [...]} on standard output and a table on standard error.
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <thread>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "netplug/link/sandbox_network.h"
#include "tests/support/cni_world.h"

namespace conode::test {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Samples = std::vector<double>;  // milliseconds
// "ADD one by one" -> plugin -> samples
using Series = std::map<std::string, std::map<std::string, Samples>>;

struct Plugin {
  std::string name;
  std::string program;
  json config;
};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double quantile(Samples samples, double q) {
  std::sort(samples.begin(), samples.end());
  return samples.at(static_cast<size_t>(q * static_cast<double>(samples.size() - 1)));
}

class Bench {
 public:
  Bench(std::string plugin_dir, int rounds) : plugin_dir_(std::move(plugin_dir)), rounds_(rounds) {}

  Result<void> run();
  [[nodiscard]] json rows() const;

 private:
  [[nodiscard]] std::vector<Plugin> plugins() const;
  Result<double> timed(const CniCall& call);
  Result<double> timed_through_cnitool(const Plugin& plugin, const char* verb,
                                       const Container& container);
  Result<void> one_by_one(const Plugin& plugin);
  Result<void> many_at_once(const Plugin& plugin, size_t count);
  Result<void> through_cnitool(const Plugin& plugin);
  [[nodiscard]] CniCall call(const Plugin& plugin, const char* verb,
                             const Container& container) const;
  Result<Container> fresh() { return Container::create(dir_.path(), fmt::format("b{}", ++made_)); }

  std::string plugin_dir_;
  int rounds_;
  int made_ = 0;
  TempDir dir_ = TempDir::create("cni-bench").value();
  Series series_;
};

std::vector<Plugin> Bench::plugins() const {
  const json base = {{"cniVersion", "1.1.0"}};
  json ours = base;
  ours.update({{"name", "ours"}, {"type", "conode-cni"}});
  ours["ipam"] = {{"range", "10.244.0.0/24"}, {"data_dir", dir_.path() + "/ours"}};
  json ptp = base;
  ptp.update({{"name", "ptp"}, {"type", "ptp"}, {"ipMasq", false}});
  ptp["ipam"] = {{"type", "host-local"},
                 {"subnet", "10.245.0.0/24"},
                 {"dataDir", dir_.path() + "/ptp"},
                 {"routes", json::array({{{"dst", "0.0.0.0/0"}}})}};
  json bridge = ptp;
  bridge.update({{"name", "bridge"}, {"type", "bridge"}, {"bridge", "br0"}, {"isGateway", true}});
  bridge["ipam"]["subnet"] = "10.246.0.0/24";
  bridge["ipam"]["dataDir"] = dir_.path() + "/bridge";
  std::vector<Plugin> all{{"conode-cni", CONODE_CNI, ours},
                          {"ptp", plugin_dir_ + "/ptp", ptp},
                          {"bridge", plugin_dir_ + "/bridge", bridge}};
  std::erase_if(all, [](const Plugin& p) { return !exists(p.program); });
  return all;
}

CniCall Bench::call(const Plugin& plugin, const char* verb, const Container& container) const {
  return {.program = plugin.program,
          .command = verb,
          .container = container.id(),
          .netns = container.path(),
          .path = plugin_dir_,
          .input = plugin.config.dump()};
}

Result<double> Bench::timed(const CniCall& call) {
  const Clock::time_point start = Clock::now();
  const CniAnswer answer = TRY(call_plugin(call));
  const double taken = milliseconds_since(start);
  if (!answer.ok())
    return failure(fmt::format("{} {}: {}", call.program, call.command, answer.output));
  return taken;
}

Result<void> Bench::one_by_one(const Plugin& plugin) {
  Container container = TRY(fresh());
  for (const char* verb : {"ADD", "DEL"}) {
    const double taken = TRY(timed(call(plugin, verb, container)));
    series_[fmt::format("{} one by one", verb)][plugin.name].push_back(taken);
  }
  container.remove();
  while (::wait(nullptr) > 0) continue;  // the background part of DEL is not the next one's burden
  return {};
}

// The time of each call, all started at once.
Result<void> Bench::many_at_once(const Plugin& plugin, size_t count) {
  std::deque<Container> crowd;
  while (crowd.size() < count) crowd.push_back(TRY(fresh()));
  for (const char* verb : {"ADD", "DEL"}) {
    std::vector<std::thread> threads;
    std::vector<Result<double>> taken(count, 0.0);
    const Clock::time_point start = Clock::now();
    for (size_t i = 0; i < count; ++i)
      threads.emplace_back([&, i] { taken[i] = timed(call(plugin, verb, crowd[i])); });
    for (std::thread& thread : threads) thread.join();
    series_[fmt::format("{} {} at once, all", verb, count)][plugin.name].push_back(
        milliseconds_since(start));
    Samples& each = series_[fmt::format("{} {} at once, each", verb, count)][plugin.name];
    for (const Result<double>& one : taken) {
      if (!one) return tl::make_unexpected(one.error());
      each.push_back(*one);
    }
  }
  crowd.clear();
  while (::wait(nullptr) > 0) continue;
  return {};
}

Result<double> Bench::timed_through_cnitool(const Plugin& plugin, const char* verb,
                                            const Container& container) {
  const std::string path = plugin.program.substr(0, plugin.program.rfind('/'));
  ProcessOptions options;
  options.argv = {plugin_dir_ + "/cnitool", verb, plugin.config["name"], container.path()};
  options.environment = {"NETCONFPATH=" + dir_.path() + "/conf",
                         "CNI_PATH=" + path + ":" + plugin_dir_};
  const UniqueFd null = TRY(open_at(AT_FDCWD, "/dev/null", O_RDWR));
  options.fds = {{0, null.get()}, {1, null.get()}, {2, 2}};
  const Clock::time_point start = Clock::now();
  Process process = TRY(Process::spawn(options));
  const ExitStatus status = TRY(process.wait());
  if (shell_exit_code(status) != 0) return failure(fmt::format("cnitool {} {}", verb, plugin.name));
  return milliseconds_since(start);
}

Result<void> Bench::through_cnitool(const Plugin& plugin) {
  const json list = {{"cniVersion", "1.1.0"},
                     {"name", plugin.config["name"]},
                     {"plugins", json::array({plugin.config})}};
  TRY(replace_file(fmt::format("{}/conf/{}.conflist", dir_.path(), plugin.name), list.dump()));
  Container container = TRY(fresh());
  for (const char* verb : {"add", "del"})
    series_[fmt::format("{} through cnitool", verb[0] == 'a' ? "ADD" : "DEL")][plugin.name]
        .push_back(TRY(timed_through_cnitool(plugin, verb, container)));
  container.remove();
  while (::wait(nullptr) > 0) continue;
  return {};
}

Result<void> Bench::run() {
  constexpr size_t kCrowd = 32;
  constexpr int kCrowdRounds = 3;
  TRY(make_dir(dir_.path() + "/conf"));
  const bool cnitool = exists(plugin_dir_ + "/cnitool");
  if (cnitool && ::mount("tmpfs", "/var/lib", "tmpfs", 0, nullptr) != 0)
    return errno_failure("mount a place for libcni's results");
  const std::vector<Plugin> all = plugins();
  for (int round = 0; round < rounds_; ++round) {
    for (const Plugin& plugin : all) TRY(one_by_one(plugin));
    for (const Plugin& plugin : all)
      if (cnitool) TRY(through_cnitool(plugin));
  }
  for (int round = 0; round < kCrowdRounds; ++round)
    for (const Plugin& plugin : all) TRY(many_at_once(plugin, kCrowd));
  return {};
}

json Bench::rows() const {
  json rows = json::array();
  for (const auto& [metric, by_plugin] : series_) {
    const Samples& ours = by_plugin.at("conode-cni");
    const double goal = metric.starts_with("ADD") ? 0.5 : 0.3;
    for (const auto& [plugin, samples] : by_plugin) {
      if (plugin == "conode-cni") continue;
      for (const auto& [label, q] : {std::pair{"p50", 0.5}, std::pair{"p99", 0.99}}) {
        const double mine = quantile(ours, q);
        const double theirs = quantile(samples, q);
        json row = {{"metric", metric + " " + label},
                    {"unit", "ms"},
                    {"ours", mine},
                    {"baseline", theirs},
                    {"baseline_name", plugin},
                    {"ratio", mine / theirs},
                    {"samples", ours.size()}};
        if (q == 0.5) row.update({{"goal", goal}, {"met", mine / theirs <= goal}});
        rows.push_back(std::move(row));
      }
    }
  }
  return rows;
}

json machine() {
  utsname name{};
  (void)::uname(&name);
  return {{"cpus", std::thread::hardware_concurrency()}, {"kernel", name.release}};
}

int report(const Bench& bench) {
  const json rows = bench.rows();
  fmt::print(stderr, "{:<28} {:>9} {:>9} {:<8} {:>6}\n", "", "ours ms", "base ms", "", "ratio");
  for (const json& row : rows)
    fmt::print(stderr, "{:<28} {:>9.2f} {:>9.2f} {:<8} {:>6.2f}\n",
               row["metric"].get<std::string>(), row["ours"].get<double>(),
               row["baseline"].get<double>(), row["baseline_name"].get<std::string>(),
               row["ratio"].get<double>());
  fmt::print("{}\n", json{{"bench", "cni"}, {"machine", machine()}, {"rows", rows}}.dump(1));
  return 0;
}

Result<void> set_up_node() {
  TRY(enter_private_namespaces());
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1);
  return setup_sandbox_network(
      {.node_address = "10.88.0.1", .prefix_length = 16, .pod_prefix = "10.244.0.0/24"});
}

int main_with(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "usage: {} PLUGIN_DIR [ROUNDS]\n", argv[0]);
    return 2;
  }
  constexpr long kMostRounds = 10'000;
  const long asked = argc == 3 ? std::strtol(argv[2], nullptr, 10) : 30;
  const int rounds = static_cast<int>(std::clamp(asked, 1L, kMostRounds));
  Result<void> done = set_up_node();
  Bench bench(argv[1], rounds);
  if (done) done = bench.run();
  if (done) return report(bench);
  fmt::print(stderr, "cni_bench: {}\n", done.error().message());
  return 1;
}

}  // namespace
}  // namespace conode::test

int main(int argc, char** argv) { return conode::test::main_with(argc, argv); }
