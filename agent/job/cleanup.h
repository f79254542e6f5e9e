// SPDX-License-Identifier: Apache-2.0
// Removing what a job has made, and proving that nothing is left. The same idempotent steps serve
// `down`, the agent's own end, `sweep` and the next `up`. Blocking; any thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/job/job_dir.h"

namespace conode::job {

// In the environment of every process that conode starts in the HPC part: "CONODE_PART=<instance>".
inline constexpr const char* kPartVariable = "CONODE_PART";

// Ends the processes of the HPC part that are still there: SIGTERM, after `grace` SIGKILL. Never
// the caller or one of its ancestors. Returns how many there were.
[[nodiscard]] Result<int> end_hpc_processes(const Instance& instance,
                                            std::chrono::milliseconds grace);

// Everything of one job whose agent is gone (or is the caller): sandbox, HPC processes, cgroups,
// state directory.
[[nodiscard]] Result<void> remove_job(const FoundJob& job, const std::string& libexec_dir,
                                      std::chrono::milliseconds grace);

// What is left of a job, one line each ("process 4711 'sleep' ..."); empty: nothing.
[[nodiscard]] std::vector<std::string> audit(const FoundJob& job);

// Until the agent that was alive has ended, 20 s at most.
void wait_for_agent(const FoundJob& job);

// For a job whose nodes were made of this machine, after its own end: waits for the agents of the
// other nodes, which notice it within seconds, removes what dead ones have left, and audits that.
[[nodiscard]] std::vector<std::string> end_nodes_of(const std::string& base, const std::string& job,
                                                    const std::string& libexec_dir);

struct SweepReport {
  std::vector<std::string> removed;  // jobs
  std::vector<std::string> alive;    // jobs left alone
  std::vector<Error> failures;
};
// Removes every job below `base` that has no agent; `only`: just that one.
[[nodiscard]] Result<SweepReport> sweep(const std::string& base, const std::string& libexec_dir,
                                        const std::string& only = {});

}  // namespace conode::job
