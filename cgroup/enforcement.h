// SPDX-License-Identifier: Apache-2.0
// How firmly a node can hold the two parts of the partition apart.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace conode {

// Weakest first, so that levels compare.
enum class EnforcementLevel {
  affinity,     // no cgroup at all: cores by CPU affinity
  grouped,      // a delegated cgroup v2 directory: kill, freeze, pressure; cores by CPU affinity
  controllers,  // a delegated directory that offers kRequiredControllers
};

// What level `controllers` (and the kubelet's normal settings) needs.
inline constexpr std::array<std::string_view, 4> kRequiredControllers{"cpuset", "cpu", "memory",
                                                                      "pids"};

inline constexpr std::array<std::pair<EnforcementLevel, std::string_view>, 3> kEnforcementNames{
    {{EnforcementLevel::affinity, "affinity"},
     {EnforcementLevel::grouped, "grouped"},
     {EnforcementLevel::controllers, "controllers"}}};

[[nodiscard]] constexpr std::string_view to_string(EnforcementLevel level) {
  return kEnforcementNames.at(static_cast<size_t>(level)).second;
}

// Empty for a name that is no level's.
[[nodiscard]] constexpr std::optional<EnforcementLevel> enforcement_from_string(
    std::string_view text) {
  for (const auto& [level, name] : kEnforcementNames)
    if (name == text) return level;
  return std::nullopt;
}

}  // namespace conode
