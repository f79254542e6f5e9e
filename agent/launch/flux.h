// SPDX-License-Identifier: Apache-2.0
// Agents by flux-exec(1), which asks no scheduler: on the brokers of an instance of the user's own.
#pragma once

#include "agent/launch/launcher.h"

namespace conode::launch {

[[nodiscard]] Result<std::unique_ptr<Launcher>> make_flux(const Options& options);

}  // namespace conode::launch
