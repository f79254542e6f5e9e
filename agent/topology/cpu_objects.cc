// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "agent/topology/discovery.h"

namespace conode::discovery {
namespace {

int os_index(hwloc_obj_t object) {
  return object->os_index == HWLOC_UNKNOWN_INDEX ? -1 : static_cast<int>(object->os_index);
}

// Index of the element whose CPUs are `cpus`, appended by `make` where there is none yet.
template <typename T, typename Make>
int index_of(std::vector<T>& all, const CpuSet& cpus, Make make) {
  const auto at = std::find_if(all.begin(), all.end(), [&](const T& t) { return t.cpus == cpus; });
  if (at != all.end()) return static_cast<int>(at - all.begin());
  all.push_back(make());
  return static_cast<int>(all.size()) - 1;
}

hwloc_obj_t ancestor(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_obj_t object) {
  if (object->type == type) return object;
  return ::hwloc_get_ancestor_obj_by_type(topology, type, object);
}

int add_package(hwloc_topology_t topology, hwloc_obj_t core, std::vector<Package>& packages) {
  const hwloc_obj_t root = ::hwloc_get_root_obj(topology);
  const hwloc_obj_t found = ancestor(topology, HWLOC_OBJ_PACKAGE, core);
  const hwloc_obj_t object = found != nullptr ? found : root;
  const CpuSet cpus = CpuSet::copy_of(object->cpuset);
  return index_of(packages, cpus, [&] {
    std::string model = info(object, "CPUModel");
    if (model.empty()) model = info(root, "CPUModel");
    return Package{
        .os_index = found != nullptr ? os_index(found) : 0, .model = model, .cpus = cpus};
  });
}

// The cache that neighbours share decides how parts are packed: a private L2 says nothing.
int add_cache(hwloc_topology_t topology, hwloc_obj_t core, std::vector<Cache>& caches) {
  const CpuSet own = CpuSet::copy_of(core->cpuset);
  for (const hwloc_obj_type_t type : {HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L2CACHE}) {
    const hwloc_obj_t cache = ancestor(topology, type, core);
    if (cache == nullptr) continue;
    const CpuSet cpus = CpuSet::copy_of(cache->cpuset);
    if (type == HWLOC_OBJ_L2CACHE && cpus == own) continue;
    return index_of(caches, cpus, [&] {
      return Cache{.level = static_cast<int>(cache->attr->cache.depth),
                   .bytes = cache->attr->cache.size,
                   .cpus = cpus};
    });
  }
  return -1;
}

// Cores without a shared cache are grouped by the memory object they hang below.
int add_cacheless_group(hwloc_topology_t topology, hwloc_obj_t core, std::vector<Cache>& caches) {
  hwloc_obj_t above = core;
  while (above->parent != nullptr && above->memory_arity == 0) above = above->parent;
  if (above->memory_arity == 0) above = ::hwloc_get_root_obj(topology);
  const CpuSet cpus = CpuSet::copy_of(above->cpuset);
  return index_of(caches, cpus, [&] { return Cache{.cpus = cpus}; });
}

}  // namespace

std::string info(hwloc_obj_t object, const char* name) {
  const char* text = ::hwloc_obj_get_info_by_name(object, name);
  return text != nullptr ? text : "";
}

CpuObjects cpu_objects(hwloc_topology_t topology) {
  CpuObjects found;
  hwloc_obj_t pu = nullptr;
  while ((pu = ::hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, pu)) != nullptr) {
    const hwloc_obj_t above = ancestor(topology, HWLOC_OBJ_CORE, pu);
    const hwloc_obj_t core = above != nullptr ? above : pu;
    const CpuSet cpus = CpuSet::copy_of(core->cpuset);
    const bool is_new = !cpus.empty() && cpus.contains(static_cast<int>(pu->os_index)) &&
                        (found.cores.empty() || !(found.cores.back().cpus == cpus));
    if (!is_new) continue;
    int cache = add_cache(topology, core, found.caches);
    if (cache < 0) cache = add_cacheless_group(topology, core, found.caches);
    found.cores.push_back({.index = static_cast<int>(found.cores.size()),
                           .os_index = os_index(core),
                           .cpus = cpus,
                           .package = add_package(topology, core, found.packages),
                           .cache = cache});
  }
  return found;
}

std::vector<NumaNode> numa_nodes(hwloc_topology_t topology) {
  std::vector<NumaNode> nodes;
  hwloc_obj_t node = nullptr;
  while ((node = ::hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
    nodes.push_back({.os_index = os_index(node),
                     .bytes = node->attr->numanode.local_memory,
                     .kind = node->subtype != nullptr ? node->subtype : "",
                     .cpus = CpuSet::copy_of(node->cpuset)});
  }
  return nodes;
}

int nearest_memory(const std::vector<NumaNode>& nodes, const CpuSet& cpus) {
  int best = -1;
  for (int i = 0; i < static_cast<int>(nodes.size()); ++i) {
    const CpuSet& near = nodes[static_cast<size_t>(i)].cpus;
    if (!near.intersects(cpus)) continue;
    if (best < 0 || near.count() < nodes[static_cast<size_t>(best)].cpus.count()) best = i;
  }
  return std::max(best, 0);
}

}  // namespace conode::discovery
