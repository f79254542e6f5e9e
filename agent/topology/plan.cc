// SPDX-License-Identifier: Apache-2.0
#include "agent/topology/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "agent/topology/core_choice.h"
#include "agent/topology/memory_split.h"
#include "agent/topology/parts.h"

namespace conode {
namespace {

constexpr const char* kPlanCores = "plan the cores";

// How many cores Kubernetes gets; what a share cuts off is the HPC part's.
Result<int> wanted_cores(const PlanRequest& request, int all) {
  if (request.k8s_cores && request.k8s_share)
    return failure(fmt::format("{}: k8s_cores = {} and k8s_share = {} are both given", kPlanCores,
                               *request.k8s_cores, *request.k8s_share),
                   "give one of them");
  if (request.k8s_cores) {
    const uint32_t wanted = *request.k8s_cores;
    if (wanted == 0 || wanted > static_cast<uint32_t>(all))
      return failure(fmt::format("{}: k8s_cores = {}: this allocation has {} core{}, so 1 to {}",
                                 kPlanCores, wanted, all, all == 1 ? "" : "s", all),
                     wanted == 0 ? "" : "ask for fewer, or the batch system for more cores");
    return static_cast<int>(wanted);
  }
  const double share = request.k8s_share.value_or(kDefaultShare);
  if (!(share > 0) || share > 1)
    return failure(
        fmt::format("{}: k8s_share = {}: it must be above 0 and at most 1", kPlanCores, share),
        "a quarter is 25% or 0.25");
  constexpr double kRounding = 1e-9;  // 0.29 * 100 is a little below 29
  return std::max(1, static_cast<int>(std::floor(share * all + kRounding)));
}

Failure nothing_left(int all) {
  return failure(fmt::format("{}: k8s_cores = {} of {} leaves none for the HPC part, so 1 to {}",
                             kPlanCores, all, all, all - 1),
                 "ask for fewer, or for k8s_share = 100% if Kubernetes shall have the whole node");
}

Result<void> assign_cpus(const Topology& topology, const PlanRequest& request, Plan& plan) {
  const int all = static_cast<int>(topology.cores().size());
  const int wanted = TRY(wanted_cores(request, all));
  const bool everything = request.allow_everything || request.k8s_share == 1.0;
  if (wanted == all && !everything) {
    if (all > 1) return nothing_left(all);
    if (!request.allow_shared_core)
      return failure(fmt::format("{}: this allocation has 1 core, and allow_shared_core = false "
                                 "wants at least 2",
                                 kPlanCores),
                     "ask the batch system for 2 cores or more, or allow the shared core");
    plan.shared = true;
    plan.k8s.cpus = plan.hpc.cpus = topology.cpus();
    plan.warnings.push_back(shared_core_warning(topology));
    return {};
  }
  CoreChoice choice = choose_cores(topology, wanted, request.avoid_devices);
  plan.k8s.cpus = cpus_of(topology, choice.cores);
  plan.hpc.cpus = topology.cpus() - plan.k8s.cpus;
  if (plan.hpc.cpus.empty())
    plan.warnings.push_back("Kubernetes has the whole node: there is no HPC part");
  else
    plan.notes = std::move(choice.notes);
  return {};
}

}  // namespace

std::string Part::memory_nodes() const {
  CpuSet nodes;
  for (const NodeMemory& m : memory_by_node) nodes.add(m.node);
  return nodes.to_string();
}

CpuSet cpus_of(const Topology& topology, const std::vector<int>& cores) {
  CpuSet cpus;
  for (const int index : cores) cpus |= topology.cores()[static_cast<size_t>(index)].cpus;
  return cpus;
}

void count_cores(const Topology& topology, Plan& plan) {
  for (Part* part : {&plan.hpc, &plan.k8s}) {
    CpuSet nodes;
    for (const Core& core : topology.cores()) {
      if (!part->cpus.intersects(core.cpus)) continue;
      ++part->cores;
      if (!topology.numa_nodes().empty())
        nodes.add(topology.numa_nodes()[static_cast<size_t>(core.numa)].os_index);
    }
    part->numa_nodes = nodes.to_vector();
  }
}

void give_devices(const Topology& topology, bool for_mpi, Plan& plan) {
  for (const Device& device : topology.devices()) {
    const int near_k8s = (device.cpus & plan.k8s.cpus).count();
    const int near_hpc = (device.cpus & plan.hpc.cpus).count();
    const bool local = !for_mpi && device.kind == DeviceKind::gpu && near_k8s > near_hpc;
    if (device.kind == DeviceKind::network)
      plan.common_devices.push_back(device);
    else
      (plan.hpc.cpus.empty() || local ? plan.k8s : plan.hpc).devices.push_back(device);
  }
}

std::string shared_core_warning(const Topology& topology) {
  return fmt::format(
      "Kubernetes and MPI share core {} (CPUs {}): each disturbs the other; ask the "
      "batch system for at least 2 cores",
      std::max(0, topology.cores().front().os_index), topology.cpus().to_string());
}

Result<Plan> make_plan(const Topology& topology, const PlanRequest& request) {
  Plan plan;
  TRY(assign_cpus(topology, request, plan));
  count_cores(topology, plan);
  give_devices(topology, request.avoid_devices, plan);
  TRY(split_memory(topology, request, plan));
  plan.notes.insert(plan.notes.end(), topology.notes().begin(), topology.notes().end());
  return plan;
}

}  // namespace conode
