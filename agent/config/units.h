// SPDX-License-Identifier: Apache-2.0
// Quantities as text. Pure functions: parsing gives nothing for text that is no such quantity or
// does not fit, and format(parse(x)) names the same value as x. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace conode::config {

// Decimal digits only.
[[nodiscard]] std::optional<uint64_t> parse_count(std::string_view text);

// Kubernetes' notation: 1024, 512Mi, 1.5Gi, 4G (4 * 10^9); Ki Mi Gi Ti Pi, k M G T P.
// Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
[[nodiscard]] std::optional<uint64_t> parse_bytes(std::string_view text);
[[nodiscard]] std::string format_bytes(uint64_t bytes);

// Go's notation without fractions: 500ms, 90s, 1h30m. A unit is required, also for 0.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
[[nodiscard]] std::string format_duration(std::chrono::milliseconds duration);

// 25% or 0.25, as a fraction; finite, any range.
[[nodiscard]] std::optional<double> parse_share(std::string_view text);
[[nodiscard]] std::string format_share(double fraction);

// true yes on 1, false no off 0; in any case.
[[nodiscard]] std::optional<bool> parse_bool(std::string_view text);

struct Ipv4Prefix {
  uint32_t address = 0;  // host byte order
  unsigned length = 0;   // 0 to 32

  [[nodiscard]] uint32_t mask() const { return length == 0 ? 0 : ~uint32_t{0} << (32 - length); }
  [[nodiscard]] bool has_host_bits() const { return (address & ~mask()) != 0; }
  [[nodiscard]] bool overlaps(const Ipv4Prefix& other) const {
    const uint32_t common = mask() & other.mask();
    return (address & common) == (other.address & common);
  }
};
// 10.88.0.0/16; host bits may be set.
[[nodiscard]] std::optional<Ipv4Prefix> parse_prefix(std::string_view text);
[[nodiscard]] std::string format_prefix(const Ipv4Prefix& prefix);

}  // namespace conode::config
