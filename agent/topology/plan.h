// SPDX-License-Identifier: Apache-2.0
// The partition of one node: which cores, memory and devices the HPC part and the Kubernetes part
// get. A pure function of topology and request: same input, same plan. Any thread.
//
// Rules. Whole cores, with all hardware threads that the allocation has of them. Kubernetes gets
// the core with the lowest CPU number first (interrupts and kernel threads land there), then cores
// that share a NUMA node and a cache with those it has. It stays away from NUMA nodes with GPUs or
// fabric devices, unless that spreads it over more than one NUMA node more than packing tightly
// would. Memory goes with the cores of each NUMA node unless an amount is asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/topology/cpu_set.h"
#include "agent/topology/topology.h"

namespace conode {

inline constexpr double kDefaultShare = 0.25;
// Neither part gets less memory: kubelet, containerd and a control plane do not start with less.
inline constexpr uint64_t kMinPartMemory = uint64_t{512} << 20U;

struct NodeMemory {
  int node = 0;  // OS index
  uint64_t bytes = 0;

  friend bool operator==(const NodeMemory&, const NodeMemory&) = default;
};

struct PlanRequest {
  std::optional<uint32_t> k8s_cores;   // excludes k8s_share
  std::optional<double> k8s_share;     // of the cores, (0, 1], rounded down, at least one core
  std::optional<uint64_t> k8s_memory;  // bytes; absent: in proportion to the cores
  std::vector<NodeMemory> k8s_memory_by_node;  // where k8s_memory lies; empty: by the cores
  bool allow_everything = false;               // k8s_cores may be all; a share of 1 always may
  bool allow_shared_core = true;               // with one core only: both parts on it
  bool avoid_devices = true;  // MPI uses GPUs and fabric; false: GPUs go by locality
};

struct Part {
  CpuSet cpus;
  int cores = 0;
  std::vector<int> numa_nodes;  // OS indexes of the nodes with cores of this part, ascending
  std::vector<NodeMemory> memory_by_node;  // nodes with memory of this part, ascending
  uint64_t memory = 0;                     // bytes; sum of memory_by_node
  std::vector<Device> devices;

  // Nodes to allocate from, as cpuset.mems wants them: "0-1,4".
  [[nodiscard]] std::string memory_nodes() const;
};

struct Plan {
  Part hpc;
  Part k8s;
  bool shared = false;                 // both parts are on the same, only, core
  std::vector<Device> common_devices;  // network interfaces: both parts reach them
  std::vector<std::string> warnings;   // what the user must hear
  std::vector<std::string> notes;      // why the plan is as it is
};

// Fails with the key, its value and its bound where the request cannot be met.
[[nodiscard]] Result<Plan> make_plan(const Topology& topology, const PlanRequest& request);

// A table for people, a few lines; ends with a new line. No colours.
[[nodiscard]] std::string to_text(const Plan& plan, const Topology& topology);

// Keys, all stable: version (1), shared, parts.{hpc,k8s}.{cpus, cores, numa_nodes, memory_bytes,
// memory_by_node[].{node, bytes}, devices[].{kind, name, alias, model, pci, numa_nodes}},
// common_devices[], warnings[], notes[]. `cpus` is in the kernel's list format.
[[nodiscard]] std::string to_json(const Plan& plan);

// The plan that to_json() wrote or a person did, checked against the node it shall be used on.
// Needed are parts.*.cpus; memory comes from k8s.memory_by_node, else k8s.memory_bytes, else by the
// cores; the rest is computed anew, but an unknown key, a wrong type, and a `cores` or `numa_nodes`
// that differs is refused. All problems come in one message, a line each.
[[nodiscard]] Result<Plan> plan_from_json(std::string_view text, const Topology& topology);

// A picture like lstopo's, coloured by part; a complete SVG document.
[[nodiscard]] std::string to_svg(const Plan& plan, const Topology& topology);

}  // namespace conode
