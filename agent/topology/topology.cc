// SPDX-License-Identifier: Apache-2.0
#include "agent/topology/topology.h"

#include <fmt/format.h>
#include <hwloc.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>

#include "agent/base/file.h"
#include "agent/topology/device_access.h"
#include "agent/topology/discovery.h"

namespace conode {
namespace {

// GPU vendors' libraries take seconds to load and touch the devices; the kernel's view suffices.
constexpr const char* kUnwantedComponents[] = {"opencl", "cuda", "nvml", "rsmi", "levelzero", "gl"};

constexpr const char* kXmlRemedy = "give a file written by 'lstopo FILE.xml' of hwloc 1 or 2";

// sched_getaffinity(2) with a mask that is large enough for any kernel.
Result<CpuSet> process_affinity() {
  constexpr size_t kSize = CPU_ALLOC_SIZE(CpuSet::kLimit);
  std::vector<char> buffer(kSize);
  auto* mask = reinterpret_cast<cpu_set_t*>(buffer.data());
  if (::sched_getaffinity(0, kSize, mask) != 0) return errno_failure("read the CPU affinity");
  CpuSet cpus;
  for (int cpu = 0; cpu < CpuSet::kLimit; ++cpu)
    if (CPU_ISSET_S(static_cast<size_t>(cpu), kSize, mask)) cpus.add(cpu);
  return cpus;
}

CpuSet topology_cpus(hwloc_topology_t topology) {
  return CpuSet::copy_of(::hwloc_topology_get_topology_cpuset(topology));
}

// "hwloc finds CPUs 0-127, the CPU affinity has 0-7": what disagrees, named.
struct View {
  std::string source;
  CpuSet set;
};

std::optional<std::string> disagreement(const std::vector<View>& views, std::string_view what,
                                        const CpuSet& common) {
  std::string text;
  bool agree = true;
  for (const View& view : views) {
    agree = agree && view.set == views.front().set;
    text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", view.source, what,
                        view.set.empty() ? "none" : view.set.to_string());
  }
  if (agree) return std::nullopt;
  return fmt::format("{}: planning with what they have in common, {}", text, common.to_string());
}

Result<CpuSet> intersection(const std::vector<View>& views, std::string_view what,
                            std::vector<std::string>& notes) {
  CpuSet common = views.front().set;
  for (const View& view : views) common &= view.set;
  const auto note = disagreement(views, what, common);
  if (common.empty())
    return failure(
        fmt::format("find the allocation's {}: {}", what, note.value_or("there are none")),
        "compare 'taskset -p $$' with cpuset.cpus.effective of the job's cgroup");
  if (note) notes.push_back(*note);
  return common;
}

}  // namespace

std::string_view to_string(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::gpu:
      return "GPU";
    case DeviceKind::fabric:
      return "fabric";
    case DeviceKind::network:
      return "network";
  }
  return "";
}

void Topology::Destroy::operator()(hwloc_topology* topology) const {
  ::hwloc_topology_destroy(topology);
}

Result<Topology::Handle> Topology::create() {
  hwloc_topology_t raw = nullptr;
  if (::hwloc_topology_init(&raw) != 0) return errno_failure("prepare hwloc");
  Handle handle(raw);
  ::hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  for (const char* component : kUnwantedComponents)
    ::hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, component);
  return handle;
}

Result<Topology> Topology::load(const AllocationLimits& limits) {
  Handle handle = TRY(create());
  if (::hwloc_topology_load(handle.get()) != 0)
    return errno_failure("find this machine's topology: hwloc_topology_load");
  AllocationLimits complete = limits;
  if (!complete.affinity) complete.affinity = TRY(process_affinity());
  Topology topology = TRY_AS("find this machine's topology", build(std::move(handle), complete));
  if (topology.cpus_.last() >= CPU_SETSIZE)
    return failure(fmt::format("find this machine's topology: CPU {} is past {}, the last that a "
                               "cpu_set_t can name",
                               topology.cpus_.last(), CPU_SETSIZE - 1),
                   "ask the batch system for CPUs with lower numbers");
  topology.leave_out_denied_devices();
  return topology;
}

Result<Topology> Topology::from_xml_file(const std::string& path, const AllocationLimits& limits) {
  const std::string xml = TRY_AS("read topology", read_file(path));
  return TRY_AS(fmt::format("read topology '{}'", path), from_xml(xml, limits));
}

Result<Topology> Topology::from_xml(std::string_view xml, const AllocationLimits& limits) {
  if (xml.find("<topology") == std::string_view::npos)
    return failure(
        xml.empty() ? "hwloc XML: the text is empty" : "hwloc XML: there is no <topology> in it",
        kXmlRemedy);
  Handle handle = TRY(create());
  const std::string text(xml);  // hwloc wants the terminating zero counted
  const bool loaded = ::hwloc_topology_set_xmlbuffer(handle.get(), text.c_str(),
                                                     static_cast<int>(text.size()) + 1) == 0 &&
                      ::hwloc_topology_load(handle.get()) == 0;
  if (!loaded) {
    const int cause = errno;
    Failure failed = code_failure(cause, "hwloc XML: it is damaged or of an unknown version");
    return tl::unexpected(std::move(failed.value()).with_remedy(kXmlRemedy));
  }
  return build(std::move(handle), limits);
}

Result<Topology> Topology::from_synthetic(const std::string& description,
                                          const AllocationLimits& limits) {
  Handle handle = TRY(create());
  const std::string what = fmt::format("synthetic topology '{}'", description);
  if (::hwloc_topology_set_synthetic(handle.get(), description.c_str()) != 0 ||
      ::hwloc_topology_load(handle.get()) != 0)
    return tl::unexpected(std::move(errno_failure(what).value())
                              .with_remedy("write it as in 'pack:2 numa:2 l3:1 core:4 pu:2'"));
  return TRY_AS(what, build(std::move(handle), limits));
}

Result<Topology> Topology::build(Handle handle, const AllocationLimits& limits) {
  Topology topology;
  topology.handle_ = std::move(handle);
  // Before anything is cut away: where devices are, and which cores are whole.
  topology.devices_ = discovery::devices(topology.handle_.get());
  const std::vector<Core> whole = discovery::cpu_objects(topology.handle_.get()).cores;
  TRY(topology.apply_limits(limits));
  topology.collect();
  for (const Core& core : whole) {
    const CpuSet ours = core.cpus & topology.cpus_;
    if (ours.empty() || ours == core.cpus) continue;
    topology.notes_.push_back(fmt::format(
        "the allocation has only CPUs {} of the core with CPUs {}: another job may run on the rest",
        ours.to_string(), core.cpus.to_string()));
  }
  if (limits.memory_bytes)
    topology.memory_bytes_ = std::min(topology.memory_bytes_, *limits.memory_bytes);
  return topology;
}

Result<void> Topology::apply_limits(const AllocationLimits& limits) {
  hwloc_topology_t raw = handle_.get();
  if (limits.mems_effective) {
    const CpuSet allowed = TRY_AS("cpuset.mems.effective", CpuSet::parse(*limits.mems_effective));
    const CpuSet found = CpuSet::copy_of(::hwloc_topology_get_topology_nodeset(raw));
    const CpuSet nodes = TRY(intersection(
        {{"hwloc finds", found}, {"cpuset.mems.effective has", allowed}}, "NUMA nodes", notes_));
    if (!(nodes == found) &&
        ::hwloc_topology_restrict(
            raw, nodes.bitmap(), HWLOC_RESTRICT_FLAG_BYNODESET | HWLOC_RESTRICT_FLAG_ADAPT_IO) != 0)
      return errno_failure(fmt::format("restrict to NUMA nodes {}", nodes.to_string()));
  }
  std::vector<View> views = {{"hwloc finds", topology_cpus(raw)}};
  if (limits.affinity) views.push_back({"the CPU affinity has", *limits.affinity});
  if (limits.cpus_effective) {
    CpuSet effective = TRY_AS("cpuset.cpus.effective", CpuSet::parse(*limits.cpus_effective));
    views.push_back({"cpuset.cpus.effective has", std::move(effective)});
  }
  const CpuSet cpus = TRY(intersection(views, "CPUs", notes_));
  if (cpus == views.front().set) return {};
  if (::hwloc_topology_restrict(
          raw, cpus.bitmap(), HWLOC_RESTRICT_FLAG_REMOVE_CPULESS | HWLOC_RESTRICT_FLAG_ADAPT_IO) !=
      0)
    return errno_failure(fmt::format("restrict to CPUs {}", cpus.to_string()));
  return {};
}

void Topology::collect() {
  cpus_ = topology_cpus(handle_.get());
  discovery::CpuObjects found = discovery::cpu_objects(handle_.get());
  cores_ = std::move(found.cores);
  packages_ = std::move(found.packages);
  caches_ = std::move(found.caches);
  numa_nodes_ = discovery::numa_nodes(handle_.get());
  for (Core& core : cores_) core.numa = discovery::nearest_memory(numa_nodes_, core.cpus);
  for (const NumaNode& node : numa_nodes_) memory_bytes_ += node.bytes;
  for (Device& device : devices_) {
    device.cpus &= cpus_;
    const bool everywhere = device.cpus == cpus_ && numa_nodes_.size() > 1;
    if (everywhere) continue;
    for (const NumaNode& node : numa_nodes_)
      if (node.cpus.intersects(device.cpus)) device.numa_nodes.push_back(node.os_index);
  }
}

void Topology::leave_out_denied_devices() {
  std::erase_if(devices_, [&](const Device& device) {
    if (device.kind == DeviceKind::network || !discovery::is_denied(device.pci)) return false;
    notes_.push_back(fmt::format("{} {} is left out: its device files are not this user's or job's",
                                 to_string(device.kind), device.name));
    return true;
  });
}

Result<std::string> Topology::restricted_xml(const CpuSet& cpus) const {
  const std::string what = fmt::format("describe CPUs '{}' as hwloc XML", cpus.to_string());
  if (!cpus_.intersects(cpus))
    return failure(
        fmt::format("{}: none of them is in the allocation ({})", what, cpus_.to_string()));
  hwloc_topology_t raw = nullptr;
  if (::hwloc_topology_dup(&raw, handle_.get()) != 0) return errno_failure(what);
  const Handle copy(raw);
  if (::hwloc_topology_restrict(
          raw, cpus.bitmap(), HWLOC_RESTRICT_FLAG_REMOVE_CPULESS | HWLOC_RESTRICT_FLAG_ADAPT_IO) !=
      0)
    return errno_failure(what);
  char* buffer = nullptr;
  int length = 0;
  if (::hwloc_topology_export_xmlbuffer(raw, &buffer, &length, 0) != 0) return errno_failure(what);
  std::string xml(buffer);
  ::hwloc_free_xmlbuffer(raw, buffer);
  return xml;
}

}  // namespace conode
