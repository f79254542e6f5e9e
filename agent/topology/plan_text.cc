// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "agent/topology/memory_split.h"
#include "agent/topology/plan.h"

namespace conode {
namespace {

using Row = std::vector<std::string>;

// Columns as wide as their widest cell; the columns named in `right` are aligned to the right.
std::string table(const std::vector<Row>& rows, const std::vector<size_t>& right) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      const bool to_right = std::find(right.begin(), right.end(), i) != right.end();
      line += to_right ? fmt::format(" {:>{}} ", row[i], widths[i])
                       : fmt::format(" {:<{}} ", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string device_text(const std::vector<Device>& devices) {
  std::vector<std::string> names;
  for (const Device& device : devices)
    names.push_back(fmt::format("{}{}{}{}", device.name, device.alias.empty() ? "" : " (",
                                device.alias, device.alias.empty() ? "" : ")"));
  return or_dash(fmt::format("{}", fmt::join(names, " ")));
}

Row part_row(std::string_view name, const Part& part) {
  return {std::string(name),
          std::to_string(part.cores),
          or_dash(part.cpus.to_string()),
          or_dash(CpuSet(part.numa_nodes).to_string()),
          part.memory > 0 ? bytes_text(part.memory) : "-",
          device_text(part.devices)};
}

uint64_t memory_at(const Part& part, int node) {
  for (const NodeMemory& memory : part.memory_by_node)
    if (memory.node == node) return memory.bytes;
  return 0;
}

int cores_at(const Part& part, const Topology& topology, const NumaNode& node) {
  int count = 0;
  for (const Core& core : topology.cores())
    if (node.cpus.intersects(core.cpus) && part.cpus.intersects(core.cpus)) ++count;
  return count;
}

std::string amount(int cores, uint64_t bytes) {
  return cores == 0 && bytes == 0 ? "-" : fmt::format("{} + {}", cores, bytes_text(bytes));
}

Row node_row(const Plan& plan, const Topology& topology, const NumaNode& node) {
  std::vector<std::string> near;
  for (const Device& device : topology.devices())
    if (device.numa_nodes == std::vector<int>{node.os_index}) near.push_back(device.name);
  const auto cell = [&](const Part& part) {
    return amount(cores_at(part, topology, node), memory_at(part, node.os_index));
  };
  return {fmt::format("NUMA node {}{}{}", node.os_index, node.kind.empty() ? "" : " ", node.kind),
          cell(plan.hpc), cell(plan.k8s), or_dash(fmt::format("{}", fmt::join(near, " ")))};
}

std::string plural(size_t count, std::string_view thing) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

}  // namespace

std::string to_text(const Plan& plan, const Topology& topology) {
  std::string text = fmt::format(
      "{} ({}), {}, {}\n\n", plural(topology.cores().size(), "core"),
      plural(static_cast<size_t>(topology.cpus().count()), "CPU"),
      plural(topology.numa_nodes().size(), "NUMA node"),
      topology.memory_bytes() > 0 ? bytes_text(topology.memory_bytes()) : "memory of unknown size");
  text += table({{"part", "cores", "CPUs", "nodes", "memory", "devices"},
                 part_row("HPC", plan.hpc),
                 part_row("Kubernetes", plan.k8s)},
                {1, 4});
  if (topology.numa_nodes().size() > 1) {
    std::vector<Row> rows = {{"cores + memory", "HPC", "Kubernetes", "near devices"}};
    for (const NumaNode& node : topology.numa_nodes())
      rows.push_back(node_row(plan, topology, node));
    text += "\n" + table(rows, {1, 2});
  }
  if (!plan.common_devices.empty())
    text += fmt::format("\n  both parts: {}\n", device_text(plan.common_devices));
  if (!plan.warnings.empty() || !plan.notes.empty()) text += "\n";
  for (const std::string& warning : plan.warnings) text += fmt::format("  warning: {}\n", warning);
  for (const std::string& note : plan.notes) text += fmt::format("  note: {}\n", note);
  return text;
}

}  // namespace conode
