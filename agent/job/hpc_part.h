// SPDX-License-Identifier: Apache-2.0
// What a process of the HPC part sees: its environment, its cores, its cgroup.
#pragma once

#include <map>
#include <string>

#include "agent/base/result.h"
#include "agent/job/job_dir.h"

namespace conode::job {

// In rank 0's state directory, on a job of several nodes: the nodes and their slots, as mpirun has
// it.
inline constexpr const char* kHostFile = "/hostfile";

// KUBECACHEDIR: kubectl would fill the user's home with what it learns of each cluster.
[[nodiscard]] std::string kubectl_cache(const std::string& state_dir);

// Variables for `conode env`: how to reach the cluster, and what MPI, hwloc and the batch system
// need so that their own binding stays inside the part.
[[nodiscard]] std::map<std::string, std::string> part_environment(const Instance& instance,
                                                                  const std::string& state_dir);

// Moves the calling process into the part (cgroup where there is one, affinity always) and sets
// the variables, the job's marker included. What it executes afterwards stays there.
[[nodiscard]] Result<void> enter_hpc_part(const Instance& instance, const std::string& state_dir);

}  // namespace conode::job
