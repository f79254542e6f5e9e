// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/path_measurements.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <thread>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/process.h"
#include "tests/support/traffic.h"

namespace conode::test {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Samples = std::vector<double>;

namespace {

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

// In /proc/net/tcp6: port 5201 in state TCP_LISTEN.
constexpr const char* kListening = ":1451 00000000000000000000000000000000:0000 0A";

// Until iperf3's port is listened at, in the calling thread's namespace.
Result<void> wait_for_server() {
  const auto end = Clock::now() + std::chrono::seconds(10);
  while (Clock::now() < end) {
    if (read_file("/proc/thread-self/net/tcp6").value_or("").find(kListening) != std::string::npos)
      return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return failure("iperf3 --server does not listen");
}

}  // namespace

Result<void> PathMeasurements::throughput(const Ends& ends, const std::string& path, int streams) {
  Process server = TRY(ends.to->run([&]() -> Result<Process> {
    Process made = TRY(Process::spawn({.argv = {"iperf3", "--server", "--logfile", "/dev/null"}}));
    TRY(wait_for_server());
    return made;
  }));
  const double busy = busy_seconds();
  const double own = own_seconds();
  const CommandOutput client = TRY(ends.from->run([&] {
    return run_command({"iperf3", "--json", "--client", ends.address, "--time",
                        fmt::format("{}", seconds_), "--parallel", fmt::format("{}", streams)});
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
Result<void> PathMeasurements::round_trips(const Ends& ends, const std::string& path) {
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

json PathMeasurements::rows(const std::string& bench, const std::string& baseline) const {
  json all = json::array();
  std::cerr << fmt::format("{:32} {:16} {:>9} {:>9} {:>9} {:>9} {:>6}\n", "metric", "path", "p50",
                           "min", "max", "p99", "ratio");
  for (const auto& [key, samples] : series_) {
    const auto& [metric, path] = key;
    const double median = quantile(samples, 0.5);
    const auto base = series_.find({metric, baseline});
    const double ratio = base == series_.end() ? 0 : median / quantile(base->second, 0.5);
    all.push_back({{"metric", metric},
                   {"path", path},
                   {"median", median},
                   {"min", quantile(samples, 0)},
                   {"max", quantile(samples, 1)},
                   {"p99", quantile(samples, 0.99)},
                   {"samples", samples.size()},
                   {"of_baseline", ratio}});
    std::cerr << fmt::format("{:32} {:16} {:9.3f} {:9.3f} {:9.3f} {:9.3f} {:6.2f}\n", metric, path,
                             median, quantile(samples, 0), quantile(samples, 1),
                             quantile(samples, 0.99), ratio);
  }
  return {{"bench", bench}, {"rows", all}};
}

}  // namespace conode::test
