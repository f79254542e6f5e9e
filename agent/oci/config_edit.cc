// SPDX-License-Identifier: Apache-2.0
#include "agent/oci/config_edit.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace conode {
namespace {

using Json = nlohmann::json;

// `object` without the elements whose "type" is one of `types`.
void drop_types(Json& object, const char* list, std::initializer_list<std::string_view> types) {
  const auto found = object.find(list);
  if (found == object.end() || found->is_null()) return;
  Json kept = Json::array();
  for (Json& element : found->get_ref<Json::array_t&>()) {
    // A mount may have no type (a bind mount by its options).
    const std::string type = element.value("type", std::string());
    if (std::find(types.begin(), types.end(), type) == types.end())
      kept.push_back(std::move(element));
  }
  *found = std::move(kept);
}

void adapt(Json& config, EnforcementLevel level, const std::string& container_id) {
  if (const auto process = config.find("process"); process != config.end())
    process->erase("execCPUAffinity");
  Json& linux_part = config["linux"];  // "linux" is a macro of GNU C
  if (linux_part.is_null()) linux_part = Json::object();
  linux_part.erase("resources");
  if (level == EnforcementLevel::grouped) {
    linux_part["cgroupsPath"] = "/pods/" + container_id;
    return;
  }
  linux_part.erase("cgroupsPath");
  drop_types(linux_part, "namespaces", {"cgroup"});
  drop_types(config, "mounts", {"cgroup", "cgroup2"});
}

}  // namespace

Result<std::string> adapt_config(std::string_view config, EnforcementLevel level,
                                 const std::string& container_id) {
  if (level == EnforcementLevel::controllers) return std::string(config);
  try {
    Json json = Json::parse(config);
    if (!json.is_object()) return failure("the configuration is no JSON object");
    adapt(json, level, container_id);
    return json.dump();
  } catch (const Json::exception& e) {  // nlohmann-json reports by exception
    return failure(e.what());
  }
}

}  // namespace conode
