// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/topology/memory_split.h"
#include "agent/topology/parts.h"
#include "agent/topology/plan.h"

namespace conode {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

Json device_json(const Device& device) {
  return {
      {"kind", to_string(device.kind)}, {"name", device.name}, {"alias", device.alias},
      {"model", device.model},          {"pci", device.pci},   {"numa_nodes", device.numa_nodes}};
}

Json devices_json(const std::vector<Device>& devices) {
  Json list = Json::array();
  for (const Device& device : devices) list.push_back(device_json(device));
  return list;
}

Json part_json(const Part& part) {
  Json memory = Json::array();
  for (const NodeMemory& m : part.memory_by_node)
    memory.push_back({{"node", m.node}, {"bytes", m.bytes}});
  return {{"cpus", part.cpus.to_string()}, {"cores", part.cores},
          {"numa_nodes", part.numa_nodes}, {"memory_bytes", part.memory},
          {"memory_by_node", memory},      {"devices", devices_json(part.devices)}};
}

// Reads one plan and gathers all that is wrong with it.
class Reader {
 public:
  explicit Reader(const Topology& topology) : topology_(topology) {}

  Result<Plan> read(const Json& json) {
    if (object(json, "the file",
               {"version", "shared", "parts", "common_devices", "warnings", "notes"}))
      read_top(json);
    if (problems_.empty()) {
      Result<void> memory = split_memory(topology_, request_, plan_);
      if (!memory) problems_.push_back(memory.error().message());
    }
    if (!problems_.empty())
      return failure(fmt::format("check the plan: {}", fmt::join(problems_, "\n")),
                     "make a new one on this node with 'conode plan --json'");
    return std::move(plan_);
  }

 private:
  template <typename... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  bool object(const Json& json, std::string_view path, const std::vector<std::string>& keys) {
    if (!json.is_object()) {
      problem("{} is no JSON object", path);
      return false;
    }
    for (const auto& [key, value] : json.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end())
        problem("{}: unknown key '{}'; known are {}", path, key, fmt::join(keys, ", "));
    return true;
  }

  void read_top(const Json& json) {
    const Json version = json.value("version", Json(kVersion));
    if (version != kVersion) problem("version = {}: only {} is known", version.dump(), kVersion);
    const Json shared = json.value("shared", Json(false));
    if (!shared.is_boolean()) problem("shared = {} is neither true nor false", shared.dump());
    plan_.shared = shared.is_boolean() && shared.get<bool>();
    const Json parts = json.value("parts", Json());
    if (!object(parts, "parts", {"hpc", "k8s"})) return;
    plan_.hpc.cpus = read_cpus(parts, "hpc");
    plan_.k8s.cpus = read_cpus(parts, "k8s");
    if (!problems_.empty()) return;
    check_cpus();
    count_cores(topology_, plan_);
    check_counts(parts["hpc"], plan_.hpc, "hpc");
    check_counts(parts["k8s"], plan_.k8s, "k8s");
    read_memory(parts["k8s"]);
    give_devices(topology_, true, plan_);
    read_devices(parts["k8s"].value("devices", Json::array()));
    for (const Json& note : json.value("notes", Json::array()))
      if (note.is_string()) plan_.notes.push_back(note.get<std::string>());
  }

  CpuSet read_cpus(const Json& parts, const std::string& name) {
    const Json part = parts.value(name, Json());
    const std::string path = "parts." + name;
    if (!object(part, path,
                {"cpus", "cores", "numa_nodes", "memory_bytes", "memory_by_node", "devices"}))
      return {};
    const Json cpus = part.value("cpus", Json());
    if (!cpus.is_string()) {
      problem("{}.cpus = {} is no text like \"0-3,8\"", path, cpus.dump());
      return {};
    }
    Result<CpuSet> set = CpuSet::parse(cpus.get<std::string>());
    if (!set) {
      problem("{}.cpus: {}", path, set.error().context);
      return {};
    }
    const CpuSet foreign = *set - topology_.cpus();
    if (!foreign.empty())
      problem("{}.cpus = {}: CPUs {} are not in this allocation, which has {}", path,
              set->to_string(), foreign.to_string(), topology_.cpus().to_string());
    return *set;
  }

  void check_cpus() {
    const CpuSet both = plan_.hpc.cpus & plan_.k8s.cpus;
    if (plan_.k8s.cpus.empty()) problem("parts.k8s.cpus is empty: at least one core");
    if (plan_.shared) {
      if (!(plan_.hpc.cpus == plan_.k8s.cpus && topology_.cores().size() == 1))
        problem("shared = true: only an allocation of 1 core is shared; this one has {}",
                topology_.cores().size());
      plan_.warnings.push_back(shared_core_warning(topology_));
      return;
    }
    if (!both.empty()) problem("parts: CPUs {} are in both parts", both.to_string());
    CpuSet idle;
    for (const Core& core : topology_.cores()) {
      for (const Part* part : {&plan_.hpc, &plan_.k8s})
        if (part->cpus.intersects(core.cpus) && !part->cpus.contains(core.cpus))
          problem("parts.{}.cpus = {} cuts the core with CPUs {} in two",
                  part == &plan_.hpc ? "hpc" : "k8s", part->cpus.to_string(),
                  core.cpus.to_string());
      idle |= core.cpus - plan_.hpc.cpus - plan_.k8s.cpus;
    }
    if (!idle.empty())
      plan_.warnings.push_back(
          fmt::format("the plan leaves CPUs {} to neither part", idle.to_string()));
    if (plan_.hpc.cpus.empty())
      plan_.warnings.emplace_back("Kubernetes has the whole node: there is no HPC part");
  }

  // Derived values may be left out, but a person who changed only them must hear it.
  void check_counts(const Json& json, const Part& part, std::string_view name) {
    const Json cores = json.value("cores", Json(part.cores));
    if (cores != part.cores)
      problem("parts.{}.cores = {}: CPUs {} are {} cores here", name, cores.dump(),
              part.cpus.to_string(), part.cores);
    const Json nodes = json.value("numa_nodes", Json(part.numa_nodes));
    if (nodes != Json(part.numa_nodes))
      problem("parts.{}.numa_nodes = {}: CPUs {} are on nodes {} here", name, nodes.dump(),
              part.cpus.to_string(), Json(part.numa_nodes).dump());
  }

  // Only Kubernetes' memory is read: the rest of each node is the HPC part's.
  void read_memory(const Json& json) {
    if (plan_.hpc.cpus.empty()) return;  // all of it
    if (json.contains("memory_bytes")) {
      const Json& bytes = json["memory_bytes"];
      if (!bytes.is_number_unsigned())
        return problem("parts.k8s.memory_bytes is no number of bytes");
      if (bytes.get<uint64_t>() > 0) request_.k8s_memory = bytes.get<uint64_t>();
    }
    uint64_t sum = 0;
    for (const Json& item : json.value("memory_by_node", Json::array())) {
      const bool valid = item.is_object() && item.value("node", Json()).is_number_unsigned() &&
                         item.value("bytes", Json()).is_number_unsigned();
      if (!valid) return problem("parts.k8s.memory_by_node: {} is no {{node, bytes}}", item.dump());
      request_.k8s_memory_by_node.push_back(
          {item["node"].get<int>(), item["bytes"].get<uint64_t>()});
      sum += request_.k8s_memory_by_node.back().bytes;
    }
    if (request_.k8s_memory_by_node.empty()) return;
    if (request_.k8s_memory && *request_.k8s_memory != sum)
      problem("parts.k8s.memory_bytes = {}: memory_by_node has {} in all", *request_.k8s_memory,
              sum);
    request_.k8s_memory = sum;
  }

  void read_devices(const Json& list) {
    if (!list.is_array()) return problem("parts.k8s.devices is no list");
    for (const Json& item : list) {
      const Json name = item.is_object() ? item.value("name", Json()) : Json();
      auto& mpi = plan_.hpc.devices;
      const auto named = [&](const Device& device) { return name == device.name; };
      const auto at = std::find_if(mpi.begin(), mpi.end(), named);
      if (at != mpi.end()) {
        plan_.k8s.devices.push_back(*at);
        mpi.erase(at);
      } else if (std::none_of(plan_.k8s.devices.begin(), plan_.k8s.devices.end(), named)) {
        problem("parts.k8s.devices: this node has no GPU or fabric device {}", name.dump());
      }
    }
  }

  const Topology& topology_;
  PlanRequest request_;
  Plan plan_;
  std::vector<std::string> problems_;
};

}  // namespace

std::string to_json(const Plan& plan) {
  const Json json = {{"version", kVersion},
                     {"shared", plan.shared},
                     {"parts", {{"hpc", part_json(plan.hpc)}, {"k8s", part_json(plan.k8s)}}},
                     {"common_devices", devices_json(plan.common_devices)},
                     {"warnings", plan.warnings},
                     {"notes", plan.notes}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Plan> plan_from_json(std::string_view text, const Topology& topology) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    return failure("check the plan: the text is no JSON",
                   "make a new one on this node with 'conode plan --json'");
  try {
    return Reader(topology).read(json);
  } catch (const Json::exception& e) {  // a number that fits no type
    return failure(fmt::format("check the plan: {}", e.what()));
  }
}

}  // namespace conode
