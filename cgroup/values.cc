// SPDX-License-Identifier: Apache-2.0
#include "cgroup/values.h"

#include <fmt/format.h>

#include <charconv>
#include <sstream>

namespace conode {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

template <>
Result<std::string> parse_value<std::string>(std::string_view text) {
  return std::string(trimmed(text));
}

template <>
Result<uint64_t> parse_value<uint64_t>(std::string_view text) {
  text = trimmed(text);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size())
    return failure(fmt::format("'{}' is not a number", text));
  return number;
}

template <>
Result<Limit> parse_value<Limit>(std::string_view text) {
  if (trimmed(text) == "max") return Limit{};
  return Limit(TRY(parse_value<uint64_t>(text)));
}

// "max 100000"
template <>
Result<CpuMax> parse_value<CpuMax>(std::string_view text) {
  text = trimmed(text);
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return failure(fmt::format("'{}' has no period", text));
  CpuMax max;
  if (const Limit quota = TRY(parse_value<Limit>(text.substr(0, space))))
    max.quota = std::chrono::microseconds(*quota);
  max.period = std::chrono::microseconds(TRY(parse_value<uint64_t>(text.substr(space + 1))));
  return max;
}

template <>
Result<FlatKeyed> parse_value<FlatKeyed>(std::string_view text) {
  FlatKeyed values;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    if (space == std::string::npos) return failure(fmt::format("'{}' has no value", line));
    values[line.substr(0, space)] =
        TRY(parse_value<uint64_t>(std::string_view(line).substr(space + 1)));
  }
  return values;
}

std::string format_value(const std::string& list) { return list; }
std::string format_value(uint64_t number) { return std::to_string(number); }
std::string format_value(const Limit& limit) { return limit ? std::to_string(*limit) : "max"; }
std::string format_value(const CpuMax& max) {
  return fmt::format("{} {}", max.quota ? std::to_string(max.quota->count()) : "max",
                     max.period.count());
}

}  // namespace conode
