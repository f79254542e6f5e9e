// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/base/result.h"

namespace conode::launch {

// IPv4 address of a host name, numeric. Blocks.
[[nodiscard]] Result<std::string> resolve(const std::string& name);

// The address of this machine by which `host` is reached.
[[nodiscard]] Result<std::string> own_address_towards(const std::string& host);

}  // namespace conode::launch
