// SPDX-License-Identifier: Apache-2.0
// Takes from a process of root what it does not need any more.
#pragma once

#include <cstdint>

#include "agent/base/result.h"

namespace conode {

// From now on the calling process, which has to have one thread, has of all capabilities only
// CAP_NET_ADMIN, sees no file system but `directory`, writes no file and starts no program. Others
// of its user cannot trace it.
[[nodiscard]] Result<void> confine(int directory);

// The capabilities (capabilities(7)) that the calling process may use, as a mask.
[[nodiscard]] Result<uint64_t> effective_capabilities();

}  // namespace conode
