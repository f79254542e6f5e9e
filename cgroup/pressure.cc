// SPDX-License-Identifier: Apache-2.0
#include "cgroup/pressure.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <sstream>
#include <string>

namespace conode {
namespace {

// Consumes "key=number" from `words`.
template <typename T>
bool take(std::istringstream& words, std::string_view key, T& number) {
  std::string word;
  if (!(words >> word) || !word.starts_with(key) || word.size() <= key.size() ||
      word[key.size()] != '=')
    return false;
  const char* const end = word.data() + word.size();
  const auto result = std::from_chars(word.data() + key.size() + 1, end, number);
  return result.ec == std::errc{} && result.ptr == end;
}

}  // namespace

Result<Pressure> parse_pressure(std::string_view text) {
  Pressure pressure;
  bool some = false;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    PressureLine parsed;
    int64_t total = 0;
    words >> kind;
    if (!take(words, "avg10", parsed.avg10) || !take(words, "avg60", parsed.avg60) ||
        !take(words, "avg300", parsed.avg300) || !take(words, "total", total))
      return failure(fmt::format("'{}' is no line of pressure stall information", line));
    parsed.total = std::chrono::microseconds(total);
    if (kind == "some") {
      pressure.some = parsed;
      some = true;
    } else if (kind == "full") {
      pressure.full = parsed;
    }
  }
  if (!some) return failure("pressure stall information without a line 'some'");
  return pressure;
}

const char* pressure_file(PressureResource resource) {
  constexpr std::array<const char*, 3> kFiles{"cpu.pressure", "memory.pressure", "io.pressure"};
  return kFiles.at(static_cast<size_t>(resource));
}

}  // namespace conode
