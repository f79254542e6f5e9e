// SPDX-License-Identifier: Apache-2.0
// Pressure stall information of one cgroup (kernel: Documentation/accounting/psi.rst).
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "agent/base/result.h"

namespace conode {

enum class PressureResource { cpu, memory, io };

struct PressureLine {
  double avg10 = 0;  // per cent of wall time, over the last 10 s
  double avg60 = 0;
  double avg300 = 0;
  std::chrono::microseconds total{0};
};

struct Pressure {
  PressureLine some;                 // at least one task stalled
  std::optional<PressureLine> full;  // all of them; absent for cpu before Linux 5.13
};

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull ...".
[[nodiscard]] Result<Pressure> parse_pressure(std::string_view text);

[[nodiscard]] const char* pressure_file(PressureResource resource);

}  // namespace conode
