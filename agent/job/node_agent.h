// SPDX-License-Identifier: Apache-2.0
// The node agent: brings one node of a job up, keeps it running, and takes it down again. One
// event loop on the calling thread; gRPC's threads post to it.
#pragma once

#include <sched.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/job/job_dir.h"
#include "agent/kubernetes/cluster.h"
#include "agent/sandbox/id_map.h"

namespace conode::job {

// One side of the partition, ready to be enforced.
struct EnforcedPart {
  std::string cpus;  // kernel list format
  cpu_set_t mask{};
  uint64_t memory = 0;       // bytes
  std::string memory_nodes;  // NUMA nodes, kernel list format; empty: any
};

struct Progress {
  std::string phase;
  double seconds = 0;  // since the job's start
  std::string failure;
  std::string remedy;
  bool ready = false;
};

struct AgentOptions {
  std::string job;
  std::string state_base;
  std::string bundle_dir;
  std::string libexec_dir;
  uint16_t api_port = 0;                    // on the host's loopback; 0: a free one
  std::string wanted_enforcement = "auto";  // or a level's name
  bool shared_core = false;
  EnforcedPart hpc;
  EnforcedPart k8s;
  std::string hpc_topology_xml;  // for HWLOC_XMLFILE; empty: none
  int mtu = 1500;
  kubernetes::ClusterLayout layout;
  std::vector<std::string> images;  // OCI archives or layouts, imported at start
  std::chrono::seconds ready_within{120};
  std::chrono::milliseconds stop_grace{2000};
  std::vector<std::string> workload;  // the command of `conode exec`; empty: `conode up`
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  std::function<void(const Progress&)> progress;  // on the loop's thread; may be empty
};

struct Outcome {
  int exit_code = 0;              // the workload's, or 0
  std::optional<Error> failure;   // why the job ended otherwise
  std::vector<std::string> left;  // audit; empty: clean
};

// Runs the job until its end. Returns when everything is removed and audited.
[[nodiscard]] Result<Outcome> run_agent(AgentOptions options);

}  // namespace conode::job
