// SPDX-License-Identifier: Apache-2.0
// The simulated part of `bench scale`: N agents of one job on this machine, over loopback TCP with
// CURVE, from the start of rank 0 until all have joined, then one broadcast and one gather. The
// real bus, no sandbox. The agents are dealt to processes, one for each CPU and bound to it (a
// process on two CPUs pays for the mprotect(2) calls of libsodium's key memory on both). Prints
// JSON with the medians for each N.
//   bus_bench [--runs R] [--arity K] [--processes P] N...
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "agent/base/file.h"
#include "tests/support/bus_world.h"

namespace {

using conode::Result;
using namespace conode::bus;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kPatience{2};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of this process, and of those that it waited for.
double cpu_seconds() {
  double seconds = 0;
  for (const auto who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime})
      seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  }
  return seconds;
}

// What the processes of one run share.
struct Shared {
  std::atomic<uint32_t> received = 0;  // messages of all agents
  std::atomic<bool> failed = false;
  std::atomic<bool> over = false;
};

// An anonymous mapping that forked children keep.
class SharedMemory {
 public:
  SharedMemory() {
    void* const at =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at != MAP_FAILED) shared_ = new (at) Shared;
  }
  SharedMemory(const SharedMemory&) = delete;
  ~SharedMemory() {
    if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
  }
  [[nodiscard]] Shared* get() const { return shared_; }

 private:
  Shared* shared_ = nullptr;
};

void bind_to_cpu(uint32_t number) {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || number-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::sched_setaffinity(0, sizeof one, &one);
    return;
  }
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

// Counts messages, answers questions.
BusWorld::OnEvent listener(Shared& shared, BusWorld*& world) {
  return [&](Rank rank, const Event& event) {
    const auto* message = std::get_if<Received>(&event);
    if (message == nullptr) return;
    ++shared.received;
    if (message->gather != 0) world->bus(rank).answer(message->gather, Answer());
  };
}

// A process with a part of the agents: they start when rank 0's endpoint comes through `pipe`.
int run_part(WorldOptions options, Shared& shared, int pipe) {
  bind_to_cpu(options.part);
  std::array<char, 128> endpoint{};
  const ssize_t size = ::read(pipe, endpoint.data(), endpoint.size());
  if (size <= 0) return 1;
  options.root_endpoint.assign(endpoint.data(), static_cast<size_t>(size));
  BusWorld* seen = nullptr;
  auto world = BusWorld::create(std::move(options), listener(shared, seen));
  if (world) seen = world->get();
  if (!world || !(*world)->start_all()) {
    shared.failed = true;
    return 1;
  }
  (void)(*world)->run_until([&] { return shared.over.load(); }, kPatience);
  return 0;
}

Result<Times> run_root(const WorldOptions& options, Shared& shared, const std::vector<int>& pipes) {
  uint32_t joined = 0;
  uint32_t lost = 0;
  BusWorld* seen = nullptr;
  const BusWorld::OnEvent listen = listener(shared, seen);
  auto world = TRY(BusWorld::create(options, [&](Rank rank, const Event& event) {
    if (std::holds_alternative<Joined>(event)) ++joined;
    if (std::holds_alternative<Lost>(event)) ++lost;
    listen(rank, event);
  }));
  seen = world.get();
  const uint32_t others = options.size - 1;
  const auto start = Clock::now();
  const auto wait = [&](const char* what, const uint32_t& have,
                        const auto& done) -> Result<double> {
    const auto since = Clock::now();
    if (world->run_until([&] { return done() || shared.failed; }, kPatience) && !shared.failed)
      return seconds_since(since);
    return tl::make_unexpected(too_slow(what, have, others));
  };
  Times times;
  TRY(world->start(kRoot));
  const std::string endpoint = world->bus(kRoot).endpoint();
  for (const int pipe : pipes) TRY(conode::write_all(pipe, endpoint, "a pipe"));
  for (Rank rank = options.parts; rank < options.size; rank += options.parts)
    TRY(world->start(rank));
  TRY(wait("bootstrap", joined, [&] { return joined >= others; }));
  times.bootstrap = seconds_since(start);

  Message message;
  message.mutable_command()->mutable_resize()->set_k8s_cores(2);
  const auto sent = Clock::now();
  TRY(world->bus(kRoot).broadcast(message));
  TRY(wait("broadcast", joined, [&] { return shared.received >= others; }));
  times.broadcast = seconds_since(sent);

  uint32_t answers = 0;
  bool gathered = false;
  const auto asked = Clock::now();
  TRY(world->bus(kRoot).gather(message, kPatience, [&](const GatherResult& result) {
    gathered = true;
    answers = static_cast<uint32_t>(result.answers.size());
  }));
  TRY(wait("gather", answers, [&] { return gathered; }));
  times.gather = seconds_since(asked);
  times.total = seconds_since(start);
  if (answers != others) return tl::make_unexpected(too_slow("gather", answers, others));
  if (lost > 0) return conode::failure(fmt::format("{} agents were lost on the way", lost));
  return times;
}

Result<Times> run_once(const WorldOptions& options) {
  const SharedMemory memory;
  if (memory.get() == nullptr) return conode::errno_failure("share memory");
  const double cpu = cpu_seconds();
  std::vector<conode::UniqueFd> pipes;
  std::vector<int> write_ends;
  std::vector<pid_t> children;
  for (uint32_t part = 1; part < options.parts; ++part) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return conode::errno_failure("make a pipe");
    const pid_t child = ::fork();
    if (child == 0) {
      WorldOptions own = options;
      own.part = part;
      ::_exit(run_part(std::move(own), *memory.get(), ends[0]));
    }
    ::close(ends[0]);
    pipes.emplace_back(ends[1]);
    write_ends.push_back(ends[1]);
    children.push_back(child);
  }
  Result<Times> times = run_root(options, *memory.get(), write_ends);
  memory.get()->over = true;
  pipes.clear();
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  if (times) times->cpu = cpu_seconds() - cpu;
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
          {"cpu_seconds_each", of(&Times::cpu) / size},
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
  WorldOptions options{.arity = 16, .secret = Secret::random()};
  options.parts = static_cast<uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  int runs = 5;
  std::vector<uint32_t> sizes;
  app.add_option("--runs", runs)->check(CLI::Range(1, 1000));
  app.add_option("--arity", options.arity)->check(CLI::Range(1, 4096));
  app.add_option("--processes", options.parts)->check(CLI::Range(1, 64));
  app.add_option("N", sizes)->required()->check(CLI::Range(2, 100000));
  CLI11_PARSE(app, argc, argv);
  raise_descriptor_limit();
  bind_to_cpu(0);
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
