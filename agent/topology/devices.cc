// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "agent/topology/discovery.h"

namespace conode::discovery {
namespace {

// PCI class codes (PCI Code and ID Assignment Specification): base class in the upper byte.
constexpr unsigned kDisplay = 0x03;
constexpr unsigned kAccelerator = 0x12;
// Graphics of a server's management controller: no GPU that anybody computes on.
constexpr std::array<unsigned, 3> kConsoleVendors = {0x1a03 /*ASPEED*/, 0x102b /*Matrox*/,
                                                     0x19e5 /*Huawei iBMC*/};

// Which of a device's names people know it by; lower is better.
int name_rank(const hwloc_obj_t os_device) {
  const std::string_view kind = os_device->subtype != nullptr ? os_device->subtype : "";
  const std::string_view name = os_device->name != nullptr ? os_device->name : "";
  constexpr std::array<std::string_view, 5> kBest = {"CUDA", "RSMI", "LevelZero", "NVML", "OpenCL"};
  const auto at = std::find(kBest.begin(), kBest.end(), kind);
  if (at != kBest.end()) return static_cast<int>(at - kBest.begin());
  if (os_device->attr->osdev.type == HWLOC_OBJ_OSDEV_OPENFABRICS) return 0;
  return name.substr(0, 6) == "render" ? 20 : 10;
}

std::optional<DeviceKind> kind_of(const hwloc_obj_t os_device) {
  switch (os_device->attr->osdev.type) {
    case HWLOC_OBJ_OSDEV_GPU:
    case HWLOC_OBJ_OSDEV_COPROC:
      return DeviceKind::gpu;
    case HWLOC_OBJ_OSDEV_OPENFABRICS:
      return DeviceKind::fabric;
    case HWLOC_OBJ_OSDEV_NETWORK: {
      // Slingshot and IP over InfiniBand are plain interfaces to the kernel, a fabric to MPI.
      const std::string_view name = os_device->name != nullptr ? os_device->name : "";
      const bool fabric = name.substr(0, 3) == "hsn" || name.substr(0, 2) == "ib";
      return fabric ? DeviceKind::fabric : DeviceKind::network;
    }
    default:
      return std::nullopt;
  }
}

hwloc_obj_t pci_above(hwloc_obj_t object) {
  while (object != nullptr && object->type != HWLOC_OBJ_PCI_DEVICE) object = object->parent;
  return object;
}

bool is_console(hwloc_obj_t pci) {
  const unsigned vendor = pci->attr->pcidev.vendor_id;
  return std::find(kConsoleVendors.begin(), kConsoleVendors.end(), vendor) != kConsoleVendors.end();
}

bool computes(hwloc_obj_t pci) {
  const unsigned base = pci->attr->pcidev.class_id >> 8U;
  return base == kAccelerator || (base == kDisplay && !is_console(pci));
}

std::string address(hwloc_obj_t pci) {
  const auto& a = pci->attr->pcidev;
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", a.domain, a.bus, a.dev, a.func);
}

// What is gathered about one PCI function, or about one OS device that is on no PCI bus.
struct Gathered {
  Device device;
  int rank = 1000;  // of device.name
};

Gathered begin_device(hwloc_topology_t topology, hwloc_obj_t object, hwloc_obj_t pci) {
  Gathered g;
  const hwloc_obj_t place = ::hwloc_get_non_io_ancestor_obj(topology, object);
  if (place != nullptr && place->cpuset != nullptr) g.device.cpus = CpuSet::copy_of(place->cpuset);
  if (pci == nullptr) return g;
  g.device.pci = address(pci);
  g.device.name = g.device.pci;
  g.device.model = info(pci, "PCIDevice");
  return g;
}

void add_os_device(Gathered& g, hwloc_obj_t os_device, DeviceKind kind) {
  if (kind < g.device.kind || g.rank == 1000) g.device.kind = kind;
  const std::string model = info(os_device, "GPUModel");
  if (!model.empty()) g.device.model = model;
  const int rank = name_rank(os_device);
  const std::string name = os_device->name != nullptr ? os_device->name : "";
  if (rank < g.rank) {
    if (g.rank != 1000) g.device.alias = g.device.name;
    g.device.name = name;
    g.rank = rank;
  } else if (g.device.alias.empty()) {
    g.device.alias = name;
  }
}

}  // namespace

std::vector<Device> devices(hwloc_topology_t topology) {
  std::vector<Gathered> all;
  std::map<hwloc_obj_t, size_t> by_pci;
  hwloc_obj_t pci = nullptr;
  while ((pci = ::hwloc_get_next_pcidev(topology, pci)) != nullptr) {
    if (!computes(pci)) continue;
    by_pci[pci] = all.size();
    all.push_back(begin_device(topology, pci, pci));
    all.back().device.kind = DeviceKind::gpu;
  }
  hwloc_obj_t os_device = nullptr;
  while ((os_device = ::hwloc_get_next_osdev(topology, os_device)) != nullptr) {
    const std::optional<DeviceKind> kind = kind_of(os_device);
    if (!kind) continue;
    const hwloc_obj_t above = pci_above(os_device);
    if (above != nullptr && *kind == DeviceKind::gpu && is_console(above)) continue;
    auto known = above != nullptr ? by_pci.find(above) : by_pci.end();
    if (known == by_pci.end()) {
      if (above != nullptr) by_pci[above] = all.size();
      all.push_back(begin_device(topology, os_device, above));
      add_os_device(all.back(), os_device, *kind);
    } else {
      add_os_device(all[known->second], os_device, *kind);
    }
  }
  std::vector<Device> found;
  for (Gathered& g : all) found.push_back(std::move(g.device));
  std::stable_sort(found.begin(), found.end(),
                   [](const Device& a, const Device& b) { return a.kind < b.kind; });
  return found;
}

}  // namespace conode::discovery
