// SPDX-License-Identifier: Apache-2.0
#include "agent/kubernetes/watch.h"

#include <nlohmann/json.hpp>

namespace conode::kubernetes {

using nlohmann::json;

namespace {

std::string version_of(const json& object) {
  return object.value(json::json_pointer("/metadata/resourceVersion"), "");
}

}  // namespace

Result<void> WatchReader::take_list(const std::string& body) {
  const json list = json::parse(body, nullptr, false);
  if (!list.is_object() || !list.contains("items"))
    return failure("list objects of the API server: the answer is no list: " + body.substr(0, 200));
  version_ = version_of(list);
  handlers_.listed(list["items"]);
  return {};
}

bool WatchReader::take_line(const std::string& line) {
  const json event = json::parse(line, nullptr, false);
  if (!event.is_object()) return true;
  if (event.value("kind", "") == "Status" || event.value("type", "") == "ERROR") {
    forget();  // whatever the error: a list tells the truth
    return false;
  }
  const std::string type = event.value("type", "");
  if (!event.contains("object") || !event["object"].is_object()) return true;
  const json& object = event["object"];
  if (const std::string version = version_of(object); !version.empty()) version_ = version;
  if (type == "ADDED" || type == "MODIFIED" || type == "DELETED") handlers_.changed(type, object);
  return true;
}

}  // namespace conode::kubernetes
