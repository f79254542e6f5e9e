// SPDX-License-Identifier: Apache-2.0
#include "agent/config/units.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace conode::config {
namespace {

struct Unit {
  std::string_view suffix;
  uint64_t factor;
};

constexpr std::array kByteUnits{Unit{"Pi", 1ULL << 50U},
                                Unit{"Ti", 1ULL << 40U},
                                Unit{"Gi", 1ULL << 30U},
                                Unit{"Mi", 1ULL << 20U},
                                Unit{"Ki", 1ULL << 10U},
                                Unit{"P", 1'000'000'000'000'000},
                                Unit{"T", 1'000'000'000'000},
                                Unit{"G", 1'000'000'000},
                                Unit{"M", 1'000'000},
                                Unit{"k", 1'000},
                                Unit{"", 1}};

// Milliseconds; "ms" before "m" and "s", because parsing takes the first that fits.
constexpr std::array kTimeUnits{Unit{"ms", 1}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
                                Unit{"s", 1'000}};

// Of digits and at most one point: from_chars alone would take "inf", "-1" and "1e9" too.
std::optional<double> parse_decimal(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos) return {};
  double value = 0;
  const auto [stop, error] = std::from_chars(text.begin(), text.end(), value);
  if (error != std::errc() || stop != text.end() || !std::isfinite(value)) return {};
  return value;
}

std::optional<uint64_t> scaled(std::string_view number, uint64_t factor) {
  if (const auto count = parse_count(number)) {
    uint64_t product = 0;
    if (__builtin_mul_overflow(*count, factor, &product)) return {};
    return product;
  }
  const auto decimal = parse_decimal(number);
  if (!decimal) return {};
  const double product = *decimal * static_cast<double>(factor);
  constexpr double kLimit = 9.2e18;
  if (product >= kLimit) return {};
  return static_cast<uint64_t>(product);
}

}  // namespace

std::optional<uint64_t> parse_count(std::string_view text) {
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.begin(), text.end(), value);
  if (text.empty() || error != std::errc() || stop != text.end()) return {};
  return value;
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view suffix = text.substr(digits);
  for (const Unit& unit : kByteUnits)
    if (suffix == unit.suffix) return scaled(text.substr(0, digits), unit.factor);
  return {};
}

std::string format_bytes(uint64_t bytes) {
  if (bytes == 0) return "0";
  Unit largest = kByteUnits.back();
  for (const Unit& unit : kByteUnits)
    if (bytes % unit.factor == 0 && unit.factor > largest.factor) largest = unit;
  return fmt::format("{}{}", bytes / largest.factor, largest.suffix);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr uint64_t kLongest = 1ULL << 52U;
  if (text.empty()) return {};
  uint64_t total = 0;
  while (!text.empty()) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto count = parse_count(text.substr(0, digits));
    text.remove_prefix(digits);
    const auto unit = std::find_if(kTimeUnits.begin(), kTimeUnits.end(), [text](const Unit& u) {
      return text.substr(0, u.suffix.size()) == u.suffix;
    });
    if (!count || unit == kTimeUnits.end() || *count > kLongest / unit->factor) return {};
    text.remove_prefix(unit->suffix.size());
    total += *count * unit->factor;
    if (total > kLongest) return {};
  }
  return std::chrono::milliseconds(total);
}

std::string format_duration(std::chrono::milliseconds duration) {
  const auto count = static_cast<uint64_t>(duration.count());
  if (count == 0) return "0s";
  for (const Unit& unit : {kTimeUnits[1], kTimeUnits[2], kTimeUnits[3], kTimeUnits[0]})
    if (count % unit.factor == 0) return fmt::format("{}{}", count / unit.factor, unit.suffix);
  return {};  // not reached: the last factor is 1
}

std::optional<double> parse_share(std::string_view text) {
  constexpr double kPerCent = 100;
  if (!text.empty() && text.back() == '%') {
    text.remove_suffix(1);
    const auto value = parse_decimal(text);
    return value ? std::optional(*value / kPerCent) : std::nullopt;
  }
  return parse_decimal(text);
}

std::string format_share(double fraction) {
  constexpr double kPerCent = 100;
  const std::string percent = fmt::format("{:g}%", fraction * kPerCent);
  return parse_share(percent) == fraction ? percent : fmt::format("{}", fraction);
}

std::optional<bool> parse_bool(std::string_view text) {
  constexpr std::array<std::string_view, 4> kTrue{"true", "yes", "on", "1"};
  constexpr std::array<std::string_view, 4> kFalse{"false", "no", "off", "0"};
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (std::find(kTrue.begin(), kTrue.end(), lower) != kTrue.end()) return true;
  if (std::find(kFalse.begin(), kFalse.end(), lower) != kFalse.end()) return false;
  return {};
}

std::optional<Ipv4Prefix> parse_prefix(std::string_view text) {
  constexpr unsigned kAddressBits = 32;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const std::string host(text.substr(0, slash));
  const auto length = parse_count(text.substr(slash + 1));
  in_addr address{};
  if (!length || *length > kAddressBits || host.find('\0') != std::string::npos ||
      ::inet_pton(AF_INET, host.c_str(), &address) != 1)
    return {};
  return Ipv4Prefix{::ntohl(address.s_addr), static_cast<unsigned>(*length)};
}

std::string format_prefix(const Ipv4Prefix& prefix) {
  const uint32_t a = prefix.address;
  return fmt::format("{}.{}.{}.{}/{}", a >> 24U, (a >> 16U) & 0xffU, (a >> 8U) & 0xffU, a & 0xffU,
                     prefix.length);
}

}  // namespace conode::config
