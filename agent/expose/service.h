// SPDX-License-Identifier: Apache-2.0
// Kubernetes Services as far as ports of the host are concerned. Pure functions; any thread.
// Source: k8s.io/api/core/v1 types.go (ServiceSpec, ServicePort).
#pragma once

#include <compare>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "netplug/link/address.h"

namespace conode::expose {

enum class Protocol : uint8_t { tcp, udp, sctp };
// "TCP"
[[nodiscard]] const char* to_string(Protocol protocol);

struct ServiceKey {
  std::string name_space;
  std::string name;
  // "default/web"
  [[nodiscard]] std::string text() const { return name_space + "/" + name; }
  // Of the object at the API server.
  [[nodiscard]] std::string path() const;
  auto operator<=>(const ServiceKey&) const = default;
};

struct ServicePort {
  std::string name;  // empty where it is the only one
  Protocol protocol = Protocol::tcp;
  uint16_t port = 0;
  uint16_t node_port = 0;  // 0: none
};

enum class ServiceType : uint8_t { cluster_ip, node_port, load_balancer, external_name };

struct Service {
  ServiceKey key;
  std::string uid;
  ServiceType type = ServiceType::cluster_ip;
  std::string cluster_ip;  // "None": headless
  std::vector<ServicePort> ports;
  std::string load_balancer_class;                   // empty: the cluster's own, that is us
  std::vector<Ipv4Prefix> sources;                   // loadBalancerSourceRanges; empty: everybody
  nlohmann::json ingress = nlohmann::json::array();  // status.loadBalancer.ingress
};

[[nodiscard]] Result<ServiceKey> key_from_json(const nlohmann::json& object);
[[nodiscard]] Result<Service> service_from_json(const nlohmann::json& object);

// The class of load balancers that we are, besides none.
inline constexpr const char* kLoadBalancerClass = "conode.io/host";
// A LoadBalancer that nobody else is to care for.
[[nodiscard]] bool is_ours(const Service& service);

// Why a port of the host cannot lead to it; empty: it can.
[[nodiscard]] std::string obstacle(const Service& service);

// What a user names: "svc/web", "service/web:80", "services/web:http".
struct Target {
  std::string service;
  std::string port;  // number or name; empty: the only one
};
[[nodiscard]] Result<Target> parse_target(const std::string& text);

// Name of a Service or namespace (RFC 1123 label).
[[nodiscard]] bool is_label(const std::string& text);

// By number or name; the only one where `wanted` is empty. TCP before UDP of the same number.
[[nodiscard]] Result<ServicePort> find_port(const Service& service, const std::string& wanted);

}  // namespace conode::expose
