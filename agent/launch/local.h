// SPDX-License-Identifier: Apache-2.0
// Many nodes on one machine, without root: a user namespace with the user's own ids (each mapped to
// itself), in it one network namespace for each node as its host, all joined by a bridge. Rank 0's
// host has the bridge. The namespaces go with their last process.
#pragma once

#include <memory>

#include "agent/launch/launcher.h"

namespace conode::launch {

// Moves the calling process, which must not have threads, into the user namespace and into the
// first host. What it has opened before stays usable: a listening socket of the machine's loopback.
[[nodiscard]] Result<std::unique_ptr<Launcher>> make_local(const Options& options);

}  // namespace conode::launch
