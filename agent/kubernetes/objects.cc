// SPDX-License-Identifier: Apache-2.0
#include "agent/kubernetes/objects.h"

#include <nlohmann/json.hpp>

namespace conode::kubernetes {
namespace {

using nlohmann::json;

json port(const char* name, const char* protocol) {
  return {{"name", name}, {"protocol", protocol}, {"port", 53}};
}

json rule(const char* group, const std::vector<std::string>& resources) {
  return {{"apiGroups", {group}}, {"resources", resources}, {"verbs", {"list", "watch"}}};
}

json cluster_role_binding(const char* name, const char* role, const char* user) {
  constexpr const char* kGroup = "rbac.authorization.k8s.io";
  return {{"apiVersion", "rbac.authorization.k8s.io/v1"},
          {"kind", "ClusterRoleBinding"},
          {"metadata", {{"name", name}}},
          {"roleRef", {{"apiGroup", kGroup}, {"kind", "ClusterRole"}, {"name", role}}},
          {"subjects", {{{"apiGroup", kGroup}, {"kind", "User"}, {"name", user}}}}};
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> bootstrap_objects(
    const ClusterLayout& layout) {
  const std::string dns = TRY(dns_address(layout));
  const json labels = {{"k8s-app", "kube-dns"}, {"kubernetes.io/name", "CoreDNS"}};
  const json role = {{"apiVersion", "rbac.authorization.k8s.io/v1"},
                     {"kind", "ClusterRole"},
                     {"metadata", {{"name", "conode:coredns"}}},
                     {"rules",
                      {rule("", {"endpoints", "services", "pods", "namespaces"}),
                       rule("discovery.k8s.io", {"endpointslices"})}}};
  const json binding = cluster_role_binding("conode:coredns", "conode:coredns", "coredns");
  // The API server's identity at the kubelet; `kubectl exec` and `logs` need it.
  const json kubelet_client = cluster_role_binding(
      "conode:kubelet-client", "system:kubelet-api-admin", "kube-apiserver-kubelet-client");
  const json service = {
      {"apiVersion", "v1"},
      {"kind", "Service"},
      {"metadata", {{"name", "kube-dns"}, {"labels", labels}}},
      {"spec", {{"clusterIP", dns}, {"ports", {port("dns", "UDP"), port("dns-tcp", "TCP")}}}}};
  const json slice = {
      {"apiVersion", "discovery.k8s.io/v1"},
      {"kind", "EndpointSlice"},
      {"metadata",
       {{"name", "kube-dns-conode"}, {"labels", {{"kubernetes.io/service-name", "kube-dns"}}}}},
      {"addressType", "IPv4"},
      {"ports", {port("dns", "UDP"), port("dns-tcp", "TCP")}},
      {"endpoints",
       {{{"addresses", {layout.node_address}},
         {"conditions", {{"ready", true}}},
         {"nodeName", layout.node_name}}}}};
  return std::vector<std::pair<std::string, std::string>>{
      {"/apis/rbac.authorization.k8s.io/v1/clusterroles", role.dump()},
      {"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding.dump()},
      {"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", kubelet_client.dump()},
      {"/api/v1/namespaces/kube-system/services", service.dump()},
      {"/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", slice.dump()}};
}

}  // namespace conode::kubernetes
