// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "agent/config/config.h"
#include "agent/config/key.h"

namespace conode::config {
namespace {

// What the user wrote, safe for a terminal and of a length that can be read.
std::string shown(std::string_view text, size_t longest) {
  std::string out;
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return text.size() > longest ? out + "..." : out;
}

}  // namespace

std::string to_string(const Problem& problem) {
  constexpr size_t kWord = 80;
  constexpr size_t kLine = 4096;
  std::string text = shown(problem.where, kLine);
  if (!problem.key.empty()) text += ": " + shown(problem.key, kWord);
  if (!problem.value.empty()) text += fmt::format(": '{}'", shown(problem.value, kWord));
  return text + ": " + shown(problem.cause, kLine);
}

std::string level_name(Enforcement::Level level) {
  return lower_case(Enforcement::Level_Name(level));
}

}  // namespace conode::config
