// SPDX-License-Identifier: Apache-2.0
#include "agent/expose/load_balancer.h"

namespace conode::expose {

using nlohmann::json;

json ingress_of(const Service& service, const std::vector<PortEntry>& entries,
                const std::string& host_name) {
  json ports = json::array();
  std::string address;
  for (const PortEntry& entry : entries) {
    if (entry.spec.service != service.key || entry.spec.origin != Origin::load_balancer) continue;
    json port = {{"port", entry.spec.host_port}, {"protocol", to_string(entry.spec.protocol)}};
    if (entry.refused) port["error"] = "conode.io/HostPortRefused";
    if (entry.open) address = entry.spec.address;
    ports.push_back(std::move(port));
  }
  if (address.empty()) return json::array();
  if (address == "0.0.0.0") return {{{"hostname", host_name}, {"ports", ports}}};
  return {{{"ip", address}, {"ipMode", "Proxy"}, {"ports", ports}}};
}

std::string status_patch(const json& ingress) {
  return json({{"status", {{"loadBalancer", {{"ingress", ingress}}}}}}).dump();
}

std::string refusal_event(const Service& service, const PortEntry& entry, const std::string& time) {
  std::string message = entry.refused->message();
  if (!entry.refused->remedy.empty()) message += "; " + entry.refused->remedy;
  return json({{"apiVersion", "v1"},
               {"kind", "Event"},
               {"metadata",
                {{"generateName", service.key.name + "."}, {"namespace", service.key.name_space}}},
               {"involvedObject",
                {{"apiVersion", "v1"},
                 {"kind", "Service"},
                 {"namespace", service.key.name_space},
                 {"name", service.key.name},
                 {"uid", service.uid}}},
               {"type", "Warning"},
               {"reason", "HostPortRefused"},
               {"message", message},
               {"source", {{"component", "conode"}}},
               {"firstTimestamp", time},
               {"lastTimestamp", time},
               {"count", 1}})
      .dump();
}

}  // namespace conode::expose
