// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/base/result.h"

namespace conode::launch {

// IPv4 address of a host name, numeric. Blocks.
[[nodiscard]] Result<std::string> resolve(const std::string& name);

}  // namespace conode::launch
