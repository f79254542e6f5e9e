// SPDX-License-Identifier: Apache-2.0
// The node agent: brings one node of a job up, keeps it running, and takes it down again. One
// event loop on the calling thread; gRPC's threads post to it.
#pragma once

#include <sched.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/bus/keys.h"
#include "agent/egress/choice.h"
#include "agent/kubernetes/cluster.h"
#include "agent/launch/launcher.h"

namespace conode::job {

// One side of the partition, ready to be enforced.
struct EnforcedPart {
  std::string cpus;  // kernel list format
  cpu_set_t mask{};
  uint32_t cores = 0;        // physical
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

// This node among those of its job.
struct Membership {
  uint32_t rank = 0;
  uint32_t size = 1;
  std::string address;                // of this node on the fabric; rank 0: the launcher says it
  std::string root_endpoint;          // rank 0's bus; unused at rank 0
  std::optional<bus::Secret> secret;  // the job's; absent on a job of one node
};

// A node that does not come, or is lost.
enum class MissingNode : uint8_t { fail, wait, go_on };

// What carries the traffic between nodes.
enum class UplinkChoice : uint8_t { automatic, vxlan, relay, fallback };

struct AgentOptions {
  std::string job;  // of rank r > 0: "<job>.n<r>"
  Membership membership;
  launch::Options launch;  // rank 0
  std::string config;      // serialized config.Config, for the other nodes' agents
  MissingNode missing_node = MissingNode::fail;
  std::chrono::milliseconds node_timeout{60000};
  size_t images_awaited = 0;  // from rank 0, on the other nodes
  std::string state_base;
  std::string bundle_dir;
  std::string libexec_dir;
  uint16_t api_port = 0;  // on the host's loopback; 0: a free one
  egress::Choice egress;
  std::optional<egress::Inward> inward;      // of the uplink `fallback`: run_agent() chooses it
  std::string expose_address = "127.0.0.1";  // of the host: where Services are reached
  std::string wanted_enforcement = "auto";   // or a level's name
  bool shared_core = false;
  EnforcedPart hpc;
  EnforcedPart k8s;
  std::string hpc_topology_xml;  // for HWLOC_XMLFILE; empty: none
  int mtu = 1500;
  UplinkChoice uplink = UplinkChoice::automatic;
  std::string vxlan_job;  // root has made a VXLAN for the job of that name; empty: none to use
  bool carrier_udp = false;
  bool encrypt = false;
  kubernetes::ClusterLayout layout;
  std::vector<std::string> images;  // OCI archives or layouts, imported at start
  std::chrono::seconds ready_within{120};
  std::chrono::milliseconds stop_grace{2000};
  std::optional<std::chrono::system_clock::time_point> time_limit;  // of the batch job; rank 0
  std::chrono::milliseconds before_limit{20000};                    // the end begins so long before
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
