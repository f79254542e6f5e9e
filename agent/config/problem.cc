// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "agent/config/config.h"
#include "agent/config/key.h"

namespace conode::config {
namespace {

// What the user wrote, safe for a terminal and of a length that can be read.
std::string shown(std::string_view text) {
  constexpr size_t kLongest = 80;
  std::string out;
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return text.size() > kLongest ? out + "..." : out;
}

}  // namespace

std::string to_string(const Problem& problem) {
  std::string text = shown(problem.where);
  if (!problem.key.empty()) text += ": " + shown(problem.key);
  if (!problem.value.empty()) text += fmt::format(": '{}'", shown(problem.value));
  return text + ": " + shown(problem.cause);
}

std::string level_name(Enforcement::Level level) {
  return lower_case(Enforcement::Level_Name(level));
}

}  // namespace conode::config
