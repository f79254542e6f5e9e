// SPDX-License-Identifier: Apache-2.0
#include "agent/oci/command_line.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace conode {
namespace {

// Flags whose value is the next argument, unless it is given as --flag=value.
constexpr std::array<std::string_view, 5> kGlobalWithValue{"log", "log-format", "root", "criu",
                                                           "rootless"};
constexpr std::array<std::string_view, 6> kCreateWithValue{
    "bundle", "b", "console-socket", "pidfd-socket", "pid-file", "preserve-fds"};

struct Flag {
  std::string name;
  std::string value;
  size_t words = 1;
};

// The flag at `at`; empty where a positional argument (or the end of flags) is there.
template <size_t N>
std::optional<Flag> flag_at(const std::vector<std::string>& arguments, size_t at,
                            const std::array<std::string_view, N>& with_value) {
  std::string_view word = arguments[at];
  if (word.size() < 2 || word.front() != '-' || word == "--") return std::nullopt;
  word.remove_prefix(word.starts_with("--") ? 2 : 1);  // Go takes -flag and --flag alike
  Flag flag;
  const size_t equals = word.find('=');
  flag.name = word.substr(0, equals);
  if (equals != std::string_view::npos) {
    flag.value = word.substr(equals + 1);
  } else if (std::find(with_value.begin(), with_value.end(), flag.name) != with_value.end() &&
             at + 1 < arguments.size()) {
    flag.value = arguments[at + 1];
    flag.words = 2;
  }
  return flag;
}

}  // namespace

RuntimeCall parse_runtime_call(std::vector<std::string> arguments) {
  RuntimeCall call;
  size_t at = 0;
  for (; at < arguments.size();) {
    const std::optional<Flag> flag = flag_at(arguments, at, kGlobalWithValue);
    if (!flag) break;
    if (flag->name == "log") call.log = flag->value;
    if (flag->name == "log-format") call.log_format = flag->value;
    at += flag->words;
  }
  call.command_at = at;
  if (at < arguments.size()) call.command = arguments[at++];
  for (; call.uses_bundle() && at < arguments.size();) {
    const std::optional<Flag> flag = flag_at(arguments, at, kCreateWithValue);
    if (!flag) break;
    if (flag->name == "bundle" || flag->name == "b") call.bundle = flag->value;
    at += flag->words;
  }
  if (call.uses_bundle() && at < arguments.size() && arguments[at] == "--") ++at;
  if (call.uses_bundle() && at < arguments.size()) call.container_id = arguments[at];
  call.arguments = std::move(arguments);
  return call;
}

}  // namespace conode
