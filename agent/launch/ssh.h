// SPDX-License-Identifier: Apache-2.0
// Nodes that the user reaches by ssh without being asked for anything (keys, host-based
// authentication, Kerberos): one ssh(1) for each host. When it ends, sshd ends the agent's session.
#pragma once

#include <memory>

#include "agent/launch/launcher.h"

namespace conode::launch {

[[nodiscard]] Result<std::unique_ptr<Launcher>> make_ssh(const Options& options);

}  // namespace conode::launch
