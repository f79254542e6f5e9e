// SPDX-License-Identifier: Apache-2.0
// What a path between two network namespaces does: throughput by iperf3, round trips of 64 bytes
// over TCP, CPU. Samples of many rounds, by path. One thread.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/result.h"
#include "netplug/link/netns.h"

namespace conode::test {

// A measured path.
struct Ends {
  const Netns* from;
  const Netns* to;
  std::string address;  // of `to`
};

class PathMeasurements {
 public:
  // `seconds`: of each measurement of throughput.
  explicit PathMeasurements(int seconds) : seconds_(seconds) {}

  [[nodiscard]] Result<void> throughput(const Ends& ends, const std::string& path, int streams);
  [[nodiscard]] Result<void> round_trips(const Ends& ends, const std::string& path);

  // {"bench": ..., "rows": [...]}, medians beside those of the path `baseline`; a table goes to
  // standard error.
  [[nodiscard]] nlohmann::json rows(const std::string& bench, const std::string& baseline) const;

 private:
  int seconds_;
  std::map<std::pair<std::string, std::string>, std::vector<double>> series_;  // metric, path
};

}  // namespace conode::test
