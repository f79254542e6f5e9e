// SPDX-License-Identifier: Apache-2.0
#include "agent/expose/service.h"

#include <fmt/format.h>

#include <algorithm>

namespace conode::expose {
namespace {

using nlohmann::json;

Result<Protocol> protocol_from(const std::string& text) {
  if (text == "TCP" || text.empty()) return Protocol::tcp;
  if (text == "UDP") return Protocol::udp;
  if (text == "SCTP") return Protocol::sctp;
  return failure(fmt::format("read a Service: protocol '{}'", text));
}

Result<ServiceType> type_from(const std::string& text) {
  if (text == "ClusterIP" || text.empty()) return ServiceType::cluster_ip;
  if (text == "NodePort") return ServiceType::node_port;
  if (text == "LoadBalancer") return ServiceType::load_balancer;
  if (text == "ExternalName") return ServiceType::external_name;
  return failure(fmt::format("read a Service: type '{}'", text));
}

const Ipv4Prefix kNobody{{0xffffffff}, 32};

uint16_t port_number(const json& object, const char* key) {
  constexpr int kLargest = 65535;
  return static_cast<uint16_t>(std::clamp(object.value(key, 0), 0, kLargest));
}

Result<void> read_spec(const json& spec, Service& service) {
  service.type = TRY(type_from(spec.value("type", "")));
  service.cluster_ip = spec.value("clusterIP", "");
  service.load_balancer_class = spec.value("loadBalancerClass", "");
  for (const json& port : spec.value("ports", json::array()))
    service.ports.push_back({port.value("name", ""), TRY(protocol_from(port.value("protocol", ""))),
                             port_number(port, "port"), port_number(port, "nodePort")});
  for (const json& range : spec.value("loadBalancerSourceRanges", json::array()))
    // Clients come by IPv4: an IPv6 range, or what is no range, lets nobody in.
    service.sources.push_back(Ipv4Prefix::parse(range.get<std::string>()).value_or(kNobody));
  return {};
}

}  // namespace

const char* to_string(Protocol protocol) {
  return protocol == Protocol::tcp ? "TCP" : protocol == Protocol::udp ? "UDP" : "SCTP";
}

std::string ServiceKey::path() const {
  return fmt::format("/api/v1/namespaces/{}/services/{}", name_space, name);
}

Result<ServiceKey> key_from_json(const json& object) {
  try {
    const json& metadata = object.at("metadata");
    return ServiceKey{metadata.at("namespace").get<std::string>(),
                      metadata.at("name").get<std::string>()};
  } catch (const json::exception& e) {
    return failure(fmt::format("read a Service's name: {}", e.what()));
  }
}

Result<Service> service_from_json(const json& object) {
  Service service;
  service.key = TRY(key_from_json(object));
  try {
    service.uid = object.at("metadata").value("uid", "");
    TRY_AS(fmt::format("Service {}", service.key.text()), read_spec(object.at("spec"), service));
    service.ingress =
        object.value(json::json_pointer("/status/loadBalancer/ingress"), json(json::array()));
  } catch (const json::exception& e) {
    return failure(fmt::format("read a Service: {}", e.what()));
  }
  return service;
}

bool is_ours(const Service& service) {
  return service.type == ServiceType::load_balancer &&
         (service.load_balancer_class.empty() || service.load_balancer_class == kLoadBalancerClass);
}

std::string obstacle(const Service& service) {
  if (service.type == ServiceType::external_name) return "it is only another name (ExternalName)";
  if (service.cluster_ip.empty() || service.cluster_ip == "None")
    return "it has no address of its own (headless)";
  return {};
}

bool is_label(const std::string& text) {
  constexpr size_t kLongest = 63;
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= kLongest && alphanumeric(text.front()) &&
         alphanumeric(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return alphanumeric(c) || c == '-'; });
}

Result<Target> parse_target(const std::string& text) {
  const size_t slash = text.find('/');
  const std::string kind = text.substr(0, slash);
  if (slash == std::string::npos || (kind != "svc" && kind != "service" && kind != "services"))
    return failure(fmt::format("expose '{}': only Services can be exposed", text),
                   "svc/NAME[:PORT]; 'conode kubectl expose' makes a Service of a Deployment");
  const std::string rest = text.substr(slash + 1);
  const size_t colon = rest.find(':');
  Target target{rest.substr(0, colon), {}};
  if (colon != std::string::npos) target.port = rest.substr(colon + 1);
  if (!is_label(target.service))
    return failure(fmt::format("expose '{}': '{}' is no name of a Service", text, target.service));
  if (colon != std::string::npos && !is_label(target.port))
    return failure(
        fmt::format("expose '{}': '{}' is no port: a number or a name", text, target.port));
  return target;
}

Result<ServicePort> find_port(const Service& service, const std::string& wanted) {
  std::string there;
  const ServicePort* found = nullptr;
  for (const ServicePort& port : service.ports) {
    there += fmt::format("{}{}{}", there.empty() ? "" : ", ", port.port,
                         port.name.empty() ? "" : " (" + port.name + ")");
    const bool named = wanted.empty() ? service.ports.size() == 1
                                      : wanted == port.name || wanted == std::to_string(port.port);
    if (named && (found == nullptr || port.protocol < found->protocol)) found = &port;
  }
  if (found != nullptr) return *found;
  const std::string what = wanted.empty() ? fmt::format("expose Service {}: it has {} ports",
                                                        service.key.text(), service.ports.size())
                                          : fmt::format("expose Service {}: it has no port '{}'",
                                                        service.key.text(), wanted);
  return failure(what, fmt::format("name one as svc/{}:PORT; there is: {}", service.key.name,
                                   there.empty() ? "none" : there));
}

}  // namespace conode::expose
