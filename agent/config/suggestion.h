// SPDX-License-Identifier: Apache-2.0
// What the user probably meant. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/key.h"

namespace conode::config {

// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other
// (optimal string alignment distance).
[[nodiscard]] size_t edit_distance(std::string_view a, std::string_view b);

// The key or section that is near enough to an unknown key of the file; `section` is where it
// stands, empty at the top. The text is the remedy: "did you mean 'k8s_cores'?".
[[nodiscard]] std::optional<std::string> suggest_key(const std::vector<Key>& keys,
                                                     const std::string& section,
                                                     std::string_view word);

// The key that an unknown CONODE_* variable probably is meant to set.
[[nodiscard]] const Key* suggest_variable(const std::vector<Key>& keys, std::string_view variable);

}  // namespace conode::config
