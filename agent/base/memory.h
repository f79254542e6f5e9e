// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace conode {

// Unmaps what the start has touched of the programs' code, and free heap: clean pages, which the
// kernel would take back by itself if it was short of memory, but which until then count as this
// process's (RSS, PSS), also for a batch system that limits jobs by them. What is needed again
// comes back from the page cache. Any thread.
void release_idle_memory();

}  // namespace conode
