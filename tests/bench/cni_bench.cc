// SPDX-License-Identifier: Apache-2.0
// One round of the latency of ADD and DEL of one plugin on a node of private namespaces: one by one
// and many at once, through cnitool (the reference library, as a runtime calls plugins) and one by
// one without it. Every attachment has a fresh network namespace, which is removed after DEL as a
// runtime does. benches/cni.py calls this in turn for ours and for the reference.
//
// Writes {"ADD": {"through cnitool": [milliseconds ...], "direct": [...],
// "32 at once": [...]}, "DEL": {...}} on standard output.
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <map>

#include "agent/base/file.h"
#include "netplug/link/sandbox_network.h"
#include "tests/support/cni_world.h"

namespace conode::test {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string plugin;         // one of kPlugins' names
  std::string conode_cni;     // the program
  std::string reference_dir;  // cnitool, ptp, bridge, host-local
  int rounds = 50;
  size_t crowd = 32;
  int crowd_rounds = 3;
};

// What each attaches in the same way: a veth pair, an address of 253, a default route; no
// masquerade.
struct Plugin {
  const char* name;
  bool ours;
  json config;
};

json host_local(const std::string& dir) {
  return {{"type", "host-local"},
          {"subnet", "10.245.0.0/24"},
          {"dataDir", dir},
          {"routes", json::array({{{"dst", "0.0.0.0/0"}}})}};
}

std::vector<Plugin> all_plugins(const std::string& dir) {
  const json pool = {{"range", "10.245.0.0/24"}, {"data_dir", dir}};
  return {{"routed", true, {{"type", "conode-cni"}, {"mode", "routed"}, {"ipam", pool}}},
          {"bridged", true, {{"type", "conode-cni"}, {"mode", "bridge"}, {"ipam", pool}}},
          {"ptp", false, {{"type", "ptp"}, {"ipMasq", false}, {"ipam", host_local(dir)}}},
          {"bridge",
           false,
           {{"type", "bridge"},
            {"bridge", "br0"},
            {"isGateway", true},
            {"hairpinMode", true},
            {"ipam", host_local(dir)}}}};
}

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)) {}

  Result<void> run();
  [[nodiscard]] json samples() const { return samples_; }

 private:
  Result<void> choose_plugin();
  [[nodiscard]] std::string program() const;
  Result<Process> start_cnitool(const char* verb, const Container& container, int null);
  Result<void> direct();
  Result<void> through_cnitool();
  Result<void> many_at_once();
  Result<Container> fresh() { return Container::create(dir_.path(), fmt::format("b{}", ++made_)); }
  void note(const char* verb, const std::string& how, double milliseconds) {
    samples_[verb][how].push_back(milliseconds);
  }

  Options options_;
  json config_;  // of the one plugin
  bool ours_ = false;
  int made_ = 0;
  TempDir dir_ = TempDir::create("cni-bench").value();
  std::map<std::string, std::map<std::string, std::vector<double>>> samples_;
};

constexpr std::array<std::pair<const char*, const char*>, 2> kVerbs{
    {{"ADD", "add"}, {"DEL", "del"}}};

std::string Bench::program() const {
  return ours_ ? options_.conode_cni
               : options_.reference_dir + "/" + config_["type"].get<std::string>();
}

Result<void> Bench::choose_plugin() {
  for (const Plugin& plugin : all_plugins(dir_.path() + "/pool"))
    if (plugin.name == options_.plugin) {
      config_ = plugin.config;
      ours_ = plugin.ours;
    }
  if (config_.is_null()) return failure(fmt::format("unknown plugin '{}'", options_.plugin));
  config_.update({{"cniVersion", "1.1.0"}, {"name", "net"}});
  for (const std::string& needed : {program(), options_.reference_dir + "/cnitool"})
    if (!exists(needed)) return failure(fmt::format("'{}' is missing", needed));
  const json list = {{"cniVersion", "1.1.0"}, {"name", "net"}, {"plugins", json::array({config_})}};
  TRY(make_dir(dir_.path() + "/conf"));
  return replace_file(dir_.path() + "/conf/net.conflist", list.dump());
}

// What DEL left to the background, and what the kernel does after it, is not the next one's burden.
void settle() {
  while (::wait(nullptr) > 0) continue;
}

Result<void> Bench::direct() {
  Container container = TRY(fresh());
  for (const auto& [verb, unused] : kVerbs) {
    const CniCall call{.program = program(),
                       .command = verb,
                       .container = container.id(),
                       .netns = container.path(),
                       .path = options_.reference_dir,
                       .input = config_.dump()};
    const Clock::time_point start = Clock::now();
    const CniAnswer answer = TRY(call_plugin(call));
    note(verb, "direct", milliseconds_since(start));
    if (!answer.ok()) return failure(fmt::format("{} {}: {}", program(), verb, answer.output));
  }
  container.remove();
  settle();
  return {};
}

Result<Process> Bench::start_cnitool(const char* verb, const Container& container, int null) {
  ProcessOptions options;
  options.argv = {options_.reference_dir + "/cnitool", verb, "net", container.path()};
  const std::string plugin = program();
  options.environment = {
      "NETCONFPATH=" + dir_.path() + "/conf",
      "CNI_PATH=" + plugin.substr(0, plugin.rfind('/')) + ":" + options_.reference_dir};
  options.fds = {{0, null}, {1, null}, {2, 2}};
  return Process::spawn(options);
}

Result<void> succeeded(Process& process, const char* verb) {
  if (shell_exit_code(TRY(process.wait())) == 0) return {};
  return failure(fmt::format("cnitool {} failed", verb));
}

Result<void> Bench::through_cnitool() {
  Container container = TRY(fresh());
  const UniqueFd null = TRY(open_at(AT_FDCWD, "/dev/null", O_RDWR));
  for (const auto& [verb, word] : kVerbs) {
    const Clock::time_point start = Clock::now();
    Process process = TRY(start_cnitool(word, container, null.get()));
    TRY(succeeded(process, word));
    note(verb, "through cnitool", milliseconds_since(start));
  }
  container.remove();
  settle();
  return {};
}

// The time from the start of the crowd to each one's end.
Result<void> Bench::many_at_once() {
  const std::string how = fmt::format("{} at once", options_.crowd);
  const UniqueFd null = TRY(open_at(AT_FDCWD, "/dev/null", O_RDWR));
  std::deque<Container> crowd;
  while (crowd.size() < options_.crowd) crowd.push_back(TRY(fresh()));
  for (const auto& [verb, word] : kVerbs) {
    std::map<pid_t, Process> running;
    const Clock::time_point start = Clock::now();
    for (const Container& container : crowd) {
      Process process = TRY(start_cnitool(word, container, null.get()));
      const pid_t pid = process.pid();
      running.emplace(pid, std::move(process));
    }
    while (!running.empty()) {
      siginfo_t ended{};
      if (::waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) != 0) return errno_failure("wait");
      const auto found = running.find(ended.si_pid);
      if (found == running.end()) {  // a background deletion
        (void)::waitpid(ended.si_pid, nullptr, 0);
        continue;
      }
      note(verb, how, milliseconds_since(start));
      TRY(succeeded(found->second, word));
      running.erase(found);
    }
  }
  crowd.clear();
  settle();
  return {};
}

Result<void> Bench::run() {
  TRY(choose_plugin());
  if (::mount("tmpfs", "/var/lib", "tmpfs", 0, nullptr) != 0)
    return errno_failure("mount a place for libcni's results");
  for (int round = 0; round < options_.rounds; ++round) {
    TRY(through_cnitool());
    TRY(direct());
  }
  for (int round = 0; round < options_.crowd_rounds; ++round) TRY(many_at_once());
  return {};
}

Result<void> set_up_node() {
  TRY(enter_private_namespaces());
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1);
  return setup_sandbox_network(
      {.node_address = "10.88.0.1", .prefix_length = 16, .pod_prefix = "10.245.0.0/24"});
}

int main_with(int argc, char** argv) {
  Options options;
  CLI::App app("Latency of a CNI plugin's ADD and DEL");
  app.add_option("--plugin", options.plugin, "routed, bridged, ptp or bridge")->required();
  app.add_option("--conode-cni", options.conode_cni, "program")->required();
  app.add_option("--reference", options.reference_dir, "directory of cnitool and the reference")
      ->required();
  app.add_option("--rounds", options.rounds, "attachments one by one");
  app.add_option("--crowd", options.crowd, "attachments at once");
  app.add_option("--crowd-rounds", options.crowd_rounds, "how often");
  CLI11_PARSE(app, argc, argv);
  Result<void> done = set_up_node();
  Bench bench(options);
  if (done) done = bench.run();
  if (!done) {
    fmt::print(stderr, "cni_bench: {}\n", done.error().message());
    return 1;
  }
  fmt::print("{}\n", bench.samples().dump());
  return 0;
}

}  // namespace
}  // namespace conode::test

int main(int argc, char** argv) { return conode::test::main_with(argc, argv); }
