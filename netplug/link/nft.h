// SPDX-License-Identifier: Apache-2.0
// The program `nft` (nft(8)), as kube-proxy uses it, for the few rules of our own. Not
// libnftables: that is under the GPL, version 2 only, which this program's licence forbids to link.
#pragma once

#include <string>
#include <vector>

#include "agent/base/result.h"

namespace conode {

// Runs `nft ARGUMENTS...` with `script` as standard input, in this process's network namespace. Its
// standard output; a failure carries its first line of standard error. A script is all or nothing.
[[nodiscard]] Result<std::string> run_nft(const std::vector<std::string>& arguments,
                                          const std::string& script = {});

}  // namespace conode
