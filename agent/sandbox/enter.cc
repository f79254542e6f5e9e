// SPDX-License-Identifier: Apache-2.0
#include "agent/sandbox/enter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>

#include "agent/base/file.h"

namespace conode::sandbox {

Result<void> enter_network(const std::string& pid) {
  // Both before the first change: afterwards the paths are another user's.
  const UniqueFd user = TRY(open_at(AT_FDCWD, fmt::format("/proc/{}/ns/user", pid), O_RDONLY));
  const UniqueFd net = TRY(open_at(AT_FDCWD, fmt::format("/proc/{}/ns/net", pid), O_RDONLY));
  if (::setns(user.get(), CLONE_NEWUSER) != 0) return errno_failure("enter the user namespace");
  if (::setns(net.get(), CLONE_NEWNET) != 0) return errno_failure("enter the network namespace");
  return {};
}

}  // namespace conode::sandbox
