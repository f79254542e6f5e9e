// SPDX-License-Identifier: Apache-2.0
// A Slurm job, from inside (sbatch(1), salloc(1), srun(1): output environment variables).
#pragma once

#include "agent/allocation/allocation.h"

namespace conode::allocation {

// Fills in `found`. Refuses heterogeneous jobs, steps of several tasks, and callers outside of the
// job's nodes.
[[nodiscard]] Result<void> look_at_slurm(const Surroundings& around, Allocation& found);

// By --mem or --mem-per-cpu, bytes; empty where the job has neither, or all of the node's.
[[nodiscard]] std::optional<uint64_t> slurm_memory(const Surroundings& around);

}  // namespace conode::allocation
