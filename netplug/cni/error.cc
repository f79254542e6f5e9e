// SPDX-License-Identifier: Apache-2.0
#include "netplug/cni/error.h"

#include <fmt/format.h>

namespace conode::cni {

std::string joined(const std::vector<std::string>& problems) {
  return fmt::format("{}", fmt::join(problems, "; "));
}

}  // namespace conode::cni
