// SPDX-License-Identifier: Apache-2.0
#include "agent/topology/memory_split.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace conode {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20U;

uint64_t scaled(uint64_t value, uint64_t numerator, uint64_t denominator) {
  if (denominator == 0) return 0;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(value) * numerator / denominator);
}

uint64_t total(const std::vector<NodeMemory>& memory) {
  uint64_t sum = 0;
  for (const NodeMemory& m : memory) sum += m.bytes;
  return sum;
}

// Kubernetes' memory of each node by its cores there; nodes near to no core are left to MPI.
std::vector<NodeMemory> by_cores(const Topology& topology, const std::vector<NodeMemory>& usable,
                                 const PlanRequest& request, const Plan& plan) {
  std::vector<NodeMemory> memory = usable;
  for (size_t i = 0; i < memory.size(); ++i) {
    const CpuSet& near = topology.numa_nodes()[i].cpus;
    uint64_t ours = 0;
    uint64_t all = 0;
    for (const Core& core : topology.cores()) {
      if (!near.intersects(core.cpus)) continue;
      ++all;
      if (plan.k8s.cpus.intersects(core.cpus)) ++ours;
    }
    uint64_t bytes = scaled(usable[i].bytes, ours, all);
    if (plan.shared)
      bytes = static_cast<uint64_t>(static_cast<double>(bytes) * request.k8s_share.value_or(0.5));
    if (plan.hpc.cpus.empty()) bytes = usable[i].bytes;
    if (bytes < usable[i].bytes) bytes -= bytes % kMebibyte;  // else odd bytes would be left over
    memory[i].bytes = bytes;
  }
  return memory;
}

// `wanted` bytes: in the proportions of `base` as far as they go, then from nodes with cores of
// Kubernetes, then from any.
std::vector<NodeMemory> spread(uint64_t wanted, const std::vector<NodeMemory>& base,
                               const std::vector<NodeMemory>& usable) {
  std::vector<NodeMemory> memory = base;
  const uint64_t sum = total(base);
  if (wanted < sum)
    for (NodeMemory& m : memory) m.bytes = scaled(m.bytes, wanted, sum);
  uint64_t missing = wanted - std::min(wanted, total(memory));
  for (const bool with_cores : {true, false}) {
    for (size_t i = 0; i < memory.size(); ++i) {
      if ((base[i].bytes > 0) != with_cores) continue;
      const uint64_t more = std::min(missing, usable[i].bytes - memory[i].bytes);
      memory[i].bytes += more;
      missing -= more;
    }
  }
  return memory;
}

// The amounts of each node that were asked for, in the order of `usable`.
Result<std::vector<NodeMemory>> as_asked(const std::vector<NodeMemory>& asked,
                                         const std::vector<NodeMemory>& usable) {
  std::vector<NodeMemory> memory = usable;
  for (NodeMemory& m : memory) m.bytes = 0;
  for (const NodeMemory& want : asked) {
    const auto at = std::find_if(memory.begin(), memory.end(),
                                 [&](const NodeMemory& m) { return m.node == want.node; });
    if (at == memory.end())
      return failure(fmt::format(
          "plan the memory: k8s_memory_by_node: there is no NUMA node {} here", want.node));
    at->bytes += want.bytes;
    const uint64_t most = usable[static_cast<size_t>(at - memory.begin())].bytes;
    if (at->bytes > most || want.bytes > most)
      return failure(
          fmt::format("plan the memory: k8s_memory_by_node: {} of NUMA node {}, which has "
                      "at most {}",
                      bytes_text(want.bytes), want.node, bytes_text(most)));
  }
  return memory;
}

Failure too_small(uint64_t bytes) {
  return failure(
      fmt::format("plan the memory: this allocation has {}; both parts need at least {} each",
                  bytes_text(bytes), bytes_text(kMinPartMemory)),
      "ask the batch system for more memory per node, for example --mem=4G");
}

}  // namespace

std::string bytes_text(uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::string text = fmt::format("{:.{}f}", value, unit == 0 || value >= 100 ? 0 : 1);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text + " " + kUnits[unit];
}

std::vector<NodeMemory> usable_memory(const Topology& topology) {
  uint64_t sum = 0;
  for (const NumaNode& node : topology.numa_nodes()) sum += node.bytes;
  std::vector<NodeMemory> memory;
  for (const NumaNode& node : topology.numa_nodes())
    memory.push_back({node.os_index, scaled(node.bytes, topology.memory_bytes(), sum)});
  return memory;
}

void give_memory(const std::vector<NodeMemory>& usable, const std::vector<NodeMemory>& k8s,
                 Plan& plan) {
  for (size_t i = 0; i < usable.size(); ++i) {
    const uint64_t rest = usable[i].bytes - std::min(usable[i].bytes, k8s[i].bytes);
    if (k8s[i].bytes > 0) plan.k8s.memory_by_node.push_back(k8s[i]);
    if (rest > 0) plan.hpc.memory_by_node.push_back({usable[i].node, rest});
  }
  const auto by_node = [](const NodeMemory& a, const NodeMemory& b) { return a.node < b.node; };
  for (Part* part : {&plan.k8s, &plan.hpc}) {
    std::sort(part->memory_by_node.begin(), part->memory_by_node.end(), by_node);
    part->memory = total(part->memory_by_node);
  }
}

Result<void> split_memory(const Topology& topology, const PlanRequest& request, Plan& plan) {
  const std::vector<NodeMemory> usable = usable_memory(topology);
  const uint64_t all = total(usable);
  if (all == 0) {
    plan.warnings.push_back("the sizes of the NUMA nodes are unknown: the memory is not divided");
    return {};
  }
  const uint64_t kept = plan.hpc.cpus.empty() ? 0 : kMinPartMemory;
  if (all < kMinPartMemory + kept) return too_small(all);
  const uint64_t most = all - kept;
  std::vector<NodeMemory> by_node;
  if (!request.k8s_memory_by_node.empty())
    by_node = TRY(as_asked(request.k8s_memory_by_node, usable));
  const std::optional<uint64_t> asked = by_node.empty() ? request.k8s_memory : total(by_node);
  if (asked && (*asked < kMinPartMemory || *asked > most))
    return failure(fmt::format("plan the memory: k8s_memory = {}: this allocation has {}, and "
                               "Kubernetes can have {} to {} of it",
                               bytes_text(*asked), bytes_text(all), bytes_text(kMinPartMemory),
                               bytes_text(most)),
                   fmt::format("take --k8s-memory {}Mi",
                               std::clamp(*asked, kMinPartMemory, most) / kMebibyte));
  if (!by_node.empty()) {
    give_memory(usable, by_node, plan);
    return {};
  }
  const std::vector<NodeMemory> base = by_cores(topology, usable, request, plan);
  const uint64_t proportional = total(base);
  const uint64_t wanted = asked.value_or(std::clamp(proportional, kMinPartMemory, most));
  if (!asked && wanted != proportional)
    plan.notes.push_back(fmt::format("Kubernetes' memory by its cores would be {}: it gets {}",
                                     bytes_text(proportional), bytes_text(wanted)));
  give_memory(usable, spread(wanted, base, usable), plan);
  return {};
}

}  // namespace conode
