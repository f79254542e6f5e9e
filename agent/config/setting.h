// SPDX-License-Identifier: Apache-2.0
// What one source (file, environment, flags) says, before it is parsed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/key.h"

namespace conode::config {

struct Text {
  std::string value;
  std::string where;
};

struct Setting {
  const Key* key = nullptr;  // of the vector of keys that the reader was given
  std::vector<Text> values;  // one, or the elements of a list
  std::string where;
};

struct Source {
  std::vector<Setting> settings;
  std::vector<Problem> problems;
};

// The largest file that is read: YAML of a megabyte is no configuration.
inline constexpr size_t kLargestFile = size_t{256} << 10U;

// Keys in the text of a YAML file called `name`. The only place that knows yaml-cpp.
[[nodiscard]] Source read_yaml(std::string_view text, const std::string& name,
                               const std::vector<Key>& keys);

// Keys in CONODE_* variables, and those that look like one.
[[nodiscard]] Source read_variables(const Environment& environment, const std::vector<Key>& keys);

// Keys in flags.
[[nodiscard]] Source read_flags(const FlagValues& flags, const std::vector<Key>& keys);

}  // namespace conode::config
