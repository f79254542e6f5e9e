// SPDX-License-Identifier: Apache-2.0
// Theory of operation. Cores are grouped by NUMA node, and within one by shared cache. A selection
// always holds the first core. Two selections are made: the tight one fills the first core's node
// and then as few others as possible; the avoiding one leaves the first core's node, if it has
// devices, with that one core, and takes nodes without devices before nodes with them. The avoiding
// one wins unless it touches over one node more than the tight one. Within each level the next
// group is the smallest that holds all that is still wanted, else the largest, so that few groups
// are cut.
#include "agent/topology/core_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace conode {
namespace {

struct Group {
  int id = 0;       // Core::numa or Core::cache
  int package = 0;  // of its first core
  std::vector<int> cores;
};

std::vector<Group> group_by(const std::vector<Core>& all, const std::vector<int>& cores,
                            int Core::*key) {
  std::vector<Group> groups;
  for (const int index : cores) {
    const Core& core = all[static_cast<size_t>(index)];
    auto at = std::find_if(groups.begin(), groups.end(),
                           [&](const Group& g) { return g.id == core.*key; });
    if (at == groups.end())
      at = groups.insert(groups.end(), {.id = core.*key, .package = core.package});
    at->cores.push_back(index);
  }
  return groups;
}

// The group to take from next: see the theory of operation. Ties go to `package`, then to order.
size_t next_group(const std::vector<Group>& groups, size_t wanted, int package) {
  const auto rank = [&](const Group& g) {
    const bool fits = g.cores.size() >= wanted;
    const bool elsewhere = g.package != package;
    const auto size = static_cast<long>(g.cores.size());
    return fits ? std::tuple(0, elsewhere ? 1L : 0L, size, 0L)
                : std::tuple(1, -size, elsewhere ? 1L : 0L, 0L);
  };
  const auto best =
      std::min_element(groups.begin(), groups.end(),
                       [&](const Group& a, const Group& b) { return rank(a) < rank(b); });
  return static_cast<size_t>(best - groups.begin());
}

class Selection {
 public:
  Selection(const Topology& topology, int first, int count)
      : all_(topology.cores()),
        package_(all_[static_cast<size_t>(first)].package),
        wanted_(static_cast<size_t>(count)) {
    take(first);
  }

  // Takes from one NUMA node, cache by cache; a cache that is in use already comes first.
  void take_node(const Group& node) {
    std::vector<Group> caches = group_by(all_, remaining(node.cores), &Core::cache);
    const auto in_use = [&](const Group& g) {
      return std::any_of(chosen_.begin(), chosen_.end(),
                         [&](int index) { return all_[static_cast<size_t>(index)].cache == g.id; });
    };
    std::stable_partition(caches.begin(), caches.end(), in_use);
    while (!full() && !caches.empty()) {
      const size_t at =
          in_use(caches.front()) ? 0 : next_group(caches, wanted_ - chosen_.size(), package_);
      for (const int core : caches[at].cores)
        if (!full()) take(core);
      caches.erase(caches.begin() + static_cast<long>(at));
    }
  }

  // Takes from `nodes`, as few of them as possible, until there are enough.
  void take_nodes(std::vector<Group> nodes) {
    while (!full() && !nodes.empty()) {
      const size_t at = next_group(nodes, wanted_ - chosen_.size(), package_);
      take_node(nodes[at]);
      nodes.erase(nodes.begin() + static_cast<long>(at));
    }
  }

  [[nodiscard]] bool full() const { return chosen_.size() >= wanted_; }
  [[nodiscard]] std::vector<int> cores() const { return {chosen_.begin(), chosen_.end()}; }
  [[nodiscard]] std::set<int> nodes() const {
    std::set<int> used;
    for (const int index : chosen_) used.insert(all_[static_cast<size_t>(index)].numa);
    return used;
  }

 private:
  void take(int core) { chosen_.insert(core); }
  [[nodiscard]] std::vector<int> remaining(const std::vector<int>& cores) const {
    std::vector<int> rest;
    for (const int core : cores)
      if (!chosen_.contains(core)) rest.push_back(core);
    return rest;
  }

  const std::vector<Core>& all_;
  int package_;
  size_t wanted_;
  std::set<int> chosen_;
};

// Node (index) -> names of the GPUs and fabric devices at it.
std::map<int, std::string> device_nodes(const Topology& topology) {
  std::map<int, std::string> found;
  const auto& nodes = topology.numa_nodes();
  for (const Device& device : topology.devices()) {
    if (device.kind == DeviceKind::network) continue;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const auto& near = device.numa_nodes;
      if (std::find(near.begin(), near.end(), nodes[i].os_index) == near.end()) continue;
      std::string& names = found[static_cast<int>(i)];
      names += (names.empty() ? "" : ", ") + device.name;
    }
  }
  return found;
}

struct Nodes {
  Group home;  // of the first core
  std::vector<Group> others, free, busy;
};

Nodes sort_nodes(const Topology& topology, int first, const std::map<int, std::string>& devices) {
  std::vector<int> all;
  for (const Core& core : topology.cores()) all.push_back(core.index);
  Nodes nodes;
  for (const Group& group : group_by(topology.cores(), all, &Core::numa)) {
    if (group.id == topology.cores()[static_cast<size_t>(first)].numa) {
      nodes.home = group;
      continue;
    }
    nodes.others.push_back(group);
    (devices.contains(group.id) ? nodes.busy : nodes.free).push_back(group);
  }
  return nodes;
}

int first_core(const Topology& topology) {
  const auto& cores = topology.cores();
  const auto lowest = std::min_element(
      cores.begin(), cores.end(),
      [](const Core& a, const Core& b) { return a.cpus.first() < b.cpus.first(); });
  return lowest->index;
}

// What the reader should know about device nodes that Kubernetes uses all the same.
void explain(const Topology& topology, const std::map<int, std::string>& devices,
             const std::set<int>& used, const std::set<int>& tight, CoreChoice& choice) {
  const auto os_index = [&](int node) {
    return topology.numa_nodes()[static_cast<size_t>(node)].os_index;
  };
  const bool some_free = devices.size() < topology.numa_nodes().size();
  for (const auto& [node, names] : devices)
    if (some_free && used.contains(node))
      choice.notes.push_back(fmt::format(
          "Kubernetes has cores on NUMA node {}, which is near to {}", os_index(node), names));
  for (const auto& [node, names] : devices)
    if (tight.contains(node) && !used.contains(node))
      choice.notes.push_back(fmt::format("Kubernetes keeps off NUMA node {}, which is near to {}",
                                         os_index(node), names));
}

}  // namespace

CoreChoice choose_cores(const Topology& topology, int count, bool avoid_devices) {
  const int first = first_core(topology);
  const std::map<int, std::string> devices =
      avoid_devices ? device_nodes(topology) : std::map<int, std::string>{};
  const Nodes nodes = sort_nodes(topology, first, devices);

  Selection tight(topology, first, count);
  tight.take_node(nodes.home);
  tight.take_nodes(nodes.others);

  Selection avoiding(topology, first, count);
  const bool home_busy = devices.contains(nodes.home.id);
  if (!home_busy) avoiding.take_node(nodes.home);
  avoiding.take_nodes(nodes.free);
  if (home_busy) avoiding.take_node(nodes.home);
  avoiding.take_nodes(nodes.busy);

  const bool avoid = avoiding.nodes().size() <= tight.nodes().size() + 1;
  const Selection& chosen = avoid ? avoiding : tight;
  CoreChoice choice{.cores = chosen.cores()};
  explain(topology, devices, chosen.nodes(), tight.nodes(), choice);
  return choice;
}

}  // namespace conode
