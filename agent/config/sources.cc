// SPDX-License-Identifier: Apache-2.0
// Environment and flags into settings.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "agent/base/environment.h"
#include "agent/config/setting.h"
#include "agent/config/suggestion.h"

namespace conode::config {
namespace {

constexpr std::string_view kPrefix = "CONODE_";

// Variables that conode sets for its own processes and for the user's, or that are no keys.
bool is_reserved(std::string_view variable) {
  constexpr std::array<std::string_view, 4> kNames{"CONODE_CONFIG", "CONODE_PART", "CONODE_STATE",
                                                   "CONODE_INSTANCE"};
  constexpr std::array<std::string_view, 4> kPrefixes{"CONODE_JOB_", "CONODE_PART_",
                                                      "CONODE_INSTANCE_", "CONODE_TEST_"};
  return std::find(kNames.begin(), kNames.end(), variable) != kNames.end() ||
         std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [variable](std::string_view p) { return variable.starts_with(p); });
}

// Elements of a list, as in PATH: split at ':', empty ones dropped.
std::vector<Text> elements(const std::string& value, const std::string& where) {
  std::vector<Text> texts;
  for (size_t begin = 0; begin <= value.size();) {
    const size_t end = std::min(value.find(':', begin), value.size());
    if (end > begin) texts.push_back({value.substr(begin, end - begin), where});
    begin = end + 1;
  }
  return texts;
}

}  // namespace

Source read_variables(const Environment& environment, const std::vector<Key>& keys) {
  Source source;
  for (const Key& key : keys) {
    const auto found = environment.variables.find(key.environment);
    if (found == environment.variables.end() || found->second.empty()) continue;
    const std::string where = "environment " + key.environment;
    source.settings.push_back({&key,
                               key.field->is_repeated() ? elements(found->second, where)
                                                        : std::vector<Text>{{found->second, where}},
                               where});
  }
  for (const auto& [variable, value] : environment.variables) {
    const bool known = std::any_of(keys.begin(), keys.end(), [&variable = variable](const Key& k) {
      return k.environment == variable;
    });
    if (!variable.starts_with(kPrefix) || known || is_reserved(variable)) continue;
    if (const Key* key = suggest_variable(keys, variable))
      source.problems.push_back({"", value, "is no known variable", "environment " + variable,
                                 fmt::format("did you mean '{}'?", key->environment)});
  }
  return source;
}

Source read_flags(const FlagValues& flags, const std::vector<Key>& keys) {
  Source source;
  for (const Key& key : keys) {
    const auto found = flags.values.find(key.path);
    if (found == flags.values.end() || found->second.empty()) continue;
    const std::string where = "flag " + key.flag;
    Setting setting{&key, {}, where};
    for (const std::string& value : found->second) setting.values.push_back({value, where});
    source.settings.push_back(std::move(setting));
  }
  return source;
}

Environment process_environment() {
  Environment result;
  result.variables = environment();
  result.variables["UID"] = std::to_string(::getuid());  // shells have it, but export it rarely
  std::array<char, PATH_MAX> dir{};
  if (::getcwd(dir.data(), dir.size()) != nullptr) result.working_dir = dir.data();
  return result;
}

}  // namespace conode::config
