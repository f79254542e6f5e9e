// SPDX-License-Identifier: Apache-2.0
// How the programs of conode-init that set up the sandbox's network from outside get into it.
#pragma once

#include <string>

#include "agent/base/result.h"

namespace conode::sandbox {

// Moves the calling process, which has to have one thread (setns(2)), into the user and network
// namespaces of the process `pid`.
[[nodiscard]] Result<void> enter_network(const std::string& pid);

}  // namespace conode::sandbox
