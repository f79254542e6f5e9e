// SPDX-License-Identifier: Apache-2.0
// The simulated part of `bench scale`: N agents of one job in one process, over loopback TCP with
// CURVE, from the start of rank 0 until all have joined, then one broadcast and one gather. The
// real bus, no sandbox. Prints JSON with the median of the runs for each N.
//   bus_bench [--runs R] [--arity K] [--io-threads T] [--loops L] N...
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/support/bus_world.h"

namespace {

using conode::Result;
using namespace conode::bus;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kPatience{2};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Times {
  double bootstrap = 0;
  double broadcast = 0;
  double gather = 0;
  double total = 0;
  double cpu = 0;
};

conode::Error too_slow(const char* what, uint32_t have, uint32_t want) {
  return {.code = {}, .context = fmt::format("{}: {} of {} in time", what, have, want)};
}

Result<Times> run_once(const WorldOptions& options) {
  std::atomic<uint32_t> joined = 0;
  std::atomic<uint32_t> received = 0;
  BusWorld* seen = nullptr;
  auto world = TRY(BusWorld::create(options, [&](Rank rank, const Event& event) {
    if (std::holds_alternative<Joined>(event)) ++joined;
    const auto* message = std::get_if<Received>(&event);
    if (message == nullptr) return;
    ++received;
    if (message->gather != 0) seen->bus(rank).answer(message->gather, Answer());
  }));
  seen = world.get();
  const uint32_t others = options.size - 1;
  Times times;
  const auto start = Clock::now();
  const double cpu = cpu_seconds();
  TRY(world->start_all());
  if (!world->run_until([&] { return joined >= others; }, kPatience))
    return tl::make_unexpected(too_slow("bootstrap", joined, others));
  times.bootstrap = seconds_since(start);

  auto step = Clock::now();
  Message message;
  message.mutable_command()->mutable_resize()->set_k8s_cores(2);
  TRY(world->bus(kRoot).broadcast(message));
  if (!world->run_until([&] { return received >= others; }, kPatience))
    return tl::make_unexpected(too_slow("broadcast", received, others));
  times.broadcast = seconds_since(step);

  step = Clock::now();
  bool gathered = false;
  uint32_t answers = 0;
  TRY(world->bus(kRoot).gather(message, kPatience, [&](const GatherResult& result) {
    gathered = true;
    answers = static_cast<uint32_t>(result.answers.size());
  }));
  if (!world->run_until([&] { return gathered; }, kPatience) || answers != others)
    return tl::make_unexpected(too_slow("gather", answers, others));
  times.gather = seconds_since(step);
  times.total = seconds_since(start);
  times.cpu = cpu_seconds() - cpu;
  return times;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

nlohmann::json summary(uint32_t size, const std::vector<Times>& runs) {
  const auto of = [&](double Times::*part) {
    std::vector<double> values;
    for (const Times& times : runs) values.push_back(times.*part);
    return median(values);
  };
  return {{"agents", size},
          {"runs", runs.size()},
          {"bootstrap_seconds", of(&Times::bootstrap)},
          {"broadcast_seconds", of(&Times::broadcast)},
          {"gather_seconds", of(&Times::gather)},
          {"total_seconds", of(&Times::total)},
          {"cpu_seconds", of(&Times::cpu)}};
}

// Three descriptors an agent and a few for each inner one.
void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Bootstrap, broadcast and gather of simulated agents");
  WorldOptions options{.arity = 16, .io_threads = 2};
  int runs = 5;
  std::vector<uint32_t> sizes;
  app.add_option("--runs", runs)->check(CLI::Range(1, 1000));
  app.add_option("--arity", options.arity)->check(CLI::Range(1, 4096));
  app.add_option("--io-threads", options.io_threads)->check(CLI::Range(1, 64));
  app.add_option("--loops", options.loops)->check(CLI::Range(1, 64));
  app.add_option("N", sizes)->required()->check(CLI::Range(2, 100000));
  CLI11_PARSE(app, argc, argv);
  raise_descriptor_limit();
  nlohmann::json all = nlohmann::json::array();
  for (const uint32_t size : sizes) {
    options.size = size;
    std::vector<Times> done;
    for (int run = 0; run < runs; ++run) {
      Result<Times> times = run_once(options);
      if (!times) {
        std::fprintf(stderr, "bus_bench: %u agents: %s\n", size, times.error().message().c_str());
        return 1;
      }
      done.push_back(*times);
    }
    all.push_back(summary(size, done));
  }
  std::printf("%s\n", all.dump(2).c_str());
  return 0;
}
