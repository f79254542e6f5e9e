// SPDX-License-Identifier: Apache-2.0
// The value of one key as text: how file, environment and flags write it, and how it is told. The
// failures' context says what was expected, their remedy gives an example. Any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/key.h"

namespace conode::config {

// Parses, checks against the key's bounds and sets (a list: appends). Nothing is set on failure.
[[nodiscard]] Result<void> set_value(Config& config, const Key& key, std::string_view text);

// Texts of the effective value: one, or a list's elements. A key without value and default: none.
[[nodiscard]] std::vector<std::string> value_texts(const Config& config, const Key& key);

// "a whole number, 1 to 4096".
[[nodiscard]] std::string expectation(const Key& key);

// Replaces '~/', ${NAME}, ${NAME:-default} and $$ in a path and makes it absolute below `base`.
[[nodiscard]] Result<std::string> expand_path(std::string_view text, const std::string& base,
                                              const std::map<std::string, std::string>& variables);

}  // namespace conode::config
