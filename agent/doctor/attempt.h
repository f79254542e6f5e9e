// SPDX-License-Identifier: Apache-2.0
// Tries what only trying shows, where it leaves nothing: in a child, in namespaces of its own.
#pragma once

#include <functional>

namespace conode::doctor {

// Forks a child that unshares `flags` (CLONE_NEW...; with CLONE_NEWUSER it is root in there), runs
// `deed` and ends. The result is errno of unshare(2), or what `deed` returns: 0 or an errno.
// Blocks; for a process with one thread.
[[nodiscard]] int attempt(int flags, const std::function<int()>& deed);

}  // namespace conode::doctor
