// SPDX-License-Identifier: Apache-2.0
// The interface files of a cgroup with the type of what is in them. Bytes and counts are plain
// numbers; names and formats are the kernel's (Documentation/admin-guide/cgroup-v2.rst).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace conode {

using Limit = std::optional<uint64_t>;              // empty: "max"
using FlatKeyed = std::map<std::string, uint64_t>;  // "oom_kill 0\n..."

struct CpuMax {
  std::optional<std::chrono::microseconds> quota;  // empty: "max"
  std::chrono::microseconds period{100000};
  bool operator==(const CpuMax&) const = default;
};

// A file and its type. CPU and node lists are the kernel's text, "0-3,8".
template <typename T>
struct Value {
  const char* file;
};

namespace value {
inline constexpr Value<std::string> kCpusetCpus{"cpuset.cpus"};
inline constexpr Value<std::string> kCpusetCpusEffective{"cpuset.cpus.effective"};
inline constexpr Value<std::string> kCpusetMems{"cpuset.mems"};
inline constexpr Value<std::string> kCpusetMemsEffective{"cpuset.mems.effective"};
inline constexpr Value<std::string> kType{"cgroup.type"};
inline constexpr Value<CpuMax> kCpuMax{"cpu.max"};
inline constexpr Value<uint64_t> kCpuWeight{"cpu.weight"};          // 1..10000
inline constexpr Value<uint64_t> kMemoryCurrent{"memory.current"};  // bytes
inline constexpr Value<Limit> kMemoryHigh{"memory.high"};           // bytes
inline constexpr Value<Limit> kMemoryMax{"memory.max"};             // bytes
inline constexpr Value<Limit> kMemorySwapMax{"memory.swap.max"};    // bytes
inline constexpr Value<uint64_t> kPidsCurrent{"pids.current"};
inline constexpr Value<Limit> kPidsMax{"pids.max"};
inline constexpr Value<FlatKeyed> kCpuStat{"cpu.stat"};
inline constexpr Value<FlatKeyed> kMemoryEvents{"memory.events"};
inline constexpr Value<FlatKeyed> kEvents{"cgroup.events"};
}  // namespace value

// Defined for the types above; a failure carries the text.
template <typename T>
[[nodiscard]] Result<T> parse_value(std::string_view text);

[[nodiscard]] std::string format_value(const std::string& list);
[[nodiscard]] std::string format_value(uint64_t number);
[[nodiscard]] std::string format_value(const Limit& limit);
[[nodiscard]] std::string format_value(const CpuMax& max);

}  // namespace conode
