// SPDX-License-Identifier: Apache-2.0
// A ticket as the standard input of a child: a file in memory without a name.
#pragma once

#include <string_view>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode::launch {

[[nodiscard]] Result<UniqueFd> ticket_file(std::string_view ticket);

}  // namespace conode::launch
