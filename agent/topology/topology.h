// SPDX-License-Identifier: Apache-2.0
// What the allocation has of one node: cores, caches, NUMA nodes, GPUs and network devices, found
// by hwloc and cross-checked. A value that does not change after loading: any thread may read it.
// CPU and NUMA node numbers are the kernel's (hwloc's OS indexes); `index` counts from 0 in hwloc's
// order. Source: https://www.open-mpi.org/projects/hwloc/doc/
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/topology/cpu_set.h"

struct hwloc_topology;

namespace conode {

// A core: the smallest thing that a part can have, with all its hardware threads.
struct Core {
  int index = 0;
  int os_index = -1;  // -1 where the machine does not number its cores
  CpuSet cpus;        // its hardware threads, as far as the allocation has them
  int package = 0;    // index in packages()
  int cache = 0;      // index in caches()
  int numa = 0;       // index in numa_nodes(): its nearest memory
};

struct Package {
  int os_index = -1;
  std::string model;  // "AMD EPYC 7763 64-Core Processor"; may be empty
  CpuSet cpus;
};

// The last cache that cores share: L3, else a shared L2, else (level 0) all cores of a NUMA node.
struct Cache {
  int level = 0;
  uint64_t bytes = 0;
  CpuSet cpus;
};

struct NumaNode {
  int os_index = 0;
  uint64_t bytes = 0;
  std::string kind;  // "MCDRAM", "HBM", ...; empty for ordinary memory
  CpuSet cpus;       // the CPUs it is near to; empty where it is near to none
};

enum class DeviceKind { gpu, fabric, network };

struct Device {
  DeviceKind kind = DeviceKind::network;
  std::string name;             // "cuda0", "mlx5_0", "eth0"; the PCI address where it has no name
  std::string alias;            // a second name: "ib0" of mlx5_0; may be empty
  std::string model;            // may be empty
  std::string pci;              // "0000:3b:00.0"; empty where it is not on PCI
  CpuSet cpus;                  // the CPUs it is near to, as far as the allocation has them
  std::vector<int> numa_nodes;  // OS indexes; empty where it is near to no node more than others
};

// What the allocation allows, as others than hwloc know it. What is absent does not restrict.
struct AllocationLimits {
  std::optional<std::string> cpus_effective;  // content of cpuset.cpus.effective
  std::optional<std::string> mems_effective;  // content of cpuset.mems.effective
  std::optional<CpuSet> affinity;             // for load(): sched_getaffinity(2) where absent
  std::optional<uint64_t> memory_bytes;       // memory.max, or what the batch system granted
};

class Topology {
 public:
  // This machine. hwloc finds what the process' cgroup allows, but believes in the whole machine
  // where the cgroup's path is longer than 127 characters (topology-linux.c, CPUSET_NAME_LEN), so
  // its answer is intersected with `limits` and with the process' CPU affinity; where they disagree
  // notes() says so. GPUs and fabrics that the process may not open are left out. hwloc's own
  // environment variables (HWLOC_XMLFILE, ...) keep their meaning.
  [[nodiscard]] static Result<Topology> load(const AllocationLimits& limits = {});
  // A machine recorded by `lstopo FILE.xml` (hwloc 1.x or 2.x).
  [[nodiscard]] static Result<Topology> from_xml_file(const std::string& path,
                                                      const AllocationLimits& limits = {});
  [[nodiscard]] static Result<Topology> from_xml(std::string_view xml,
                                                 const AllocationLimits& limits = {});
  // A machine described as "pack:2 numa:4 l3:1 core:8 pu:2" (hwloc, "Synthetic topologies").
  [[nodiscard]] static Result<Topology> from_synthetic(const std::string& description,
                                                       const AllocationLimits& limits = {});

  [[nodiscard]] const CpuSet& cpus() const { return cpus_; }
  [[nodiscard]] const std::vector<Core>& cores() const { return cores_; }
  [[nodiscard]] const std::vector<Package>& packages() const { return packages_; }
  [[nodiscard]] const std::vector<Cache>& caches() const { return caches_; }
  [[nodiscard]] const std::vector<NumaNode>& numa_nodes() const { return numa_nodes_; }
  [[nodiscard]] const std::vector<Device>& devices() const { return devices_; }
  // What the allocation may use: the NUMA nodes' memory, or less where a limit says so.
  [[nodiscard]] uint64_t memory_bytes() const { return memory_bytes_; }
  // Disagreements and oddities that a reader of the plan should know; one sentence each.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

  // hwloc's XML of the sub-part that `cpus` is: for HWLOC_XMLFILE, so that MPI sees the part
  // instead of the machine. OS indexes are kept, devices too. Fails when `cpus` is empty or has
  // none of this topology's CPUs.
  [[nodiscard]] Result<std::string> restricted_xml(const CpuSet& cpus) const;

 private:
  struct Destroy {
    void operator()(hwloc_topology* topology) const;
  };
  using Handle = std::unique_ptr<hwloc_topology, Destroy>;

  Topology() = default;
  [[nodiscard]] static Result<Handle> create();
  [[nodiscard]] static Result<Topology> build(Handle handle, const AllocationLimits& limits);
  [[nodiscard]] Result<void> apply_limits(const AllocationLimits& limits);
  void collect();
  void leave_out_denied_devices();

  Handle handle_;
  CpuSet cpus_;
  std::vector<Core> cores_;
  std::vector<Package> packages_;
  std::vector<Cache> caches_;
  std::vector<NumaNode> numa_nodes_;
  std::vector<Device> devices_;
  uint64_t memory_bytes_ = 0;
  std::vector<std::string> notes_;
};

// "GPU", "fabric", "network"
[[nodiscard]] std::string_view to_string(DeviceKind kind);

}  // namespace conode
