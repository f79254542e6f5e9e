// SPDX-License-Identifier: Apache-2.0
// environ(7) as a map. Not while another thread calls setenv(3).
#pragma once

#include <map>
#include <string>
#include <vector>

namespace conode {

// This process's; what has no '=' is left out, and of a name that is there twice the first counts.
[[nodiscard]] std::map<std::string, std::string> environment();

// The same for a child, with `added` in the place of what has those names: "NAME=value".
[[nodiscard]] std::vector<std::string> environment_with(
    const std::map<std::string, std::string>& added);

}  // namespace conode
