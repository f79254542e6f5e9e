// SPDX-License-Identifier: Apache-2.0
// A Flux instance of the user's own, as `flux batch` and `flux alloc` make one, from inside
// (flux-environment(7), flux-hostlist(1), flux-job(1)), or a job of one task in any instance.
#pragma once

#include "agent/allocation/allocation.h"

namespace conode::allocation {

// Fills in `found`. Refuses jobs of several tasks or nodes: only in an instance of one's own may
// one start programs on its nodes beside the jobs.
[[nodiscard]] Result<void> look_at_flux(const Surroundings& around, Allocation& found);

}  // namespace conode::allocation
