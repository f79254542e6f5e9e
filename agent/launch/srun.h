// SPDX-License-Identifier: Apache-2.0
// Agents as steps of the Slurm job: `srun --overlap`, one step a node, so that the batch system
// signals, counts and ends them.
#pragma once

#include <memory>

#include "agent/launch/launcher.h"

namespace conode::launch {

[[nodiscard]] Result<std::unique_ptr<Launcher>> make_srun(const Options& options);

}  // namespace conode::launch
