// SPDX-License-Identifier: Apache-2.0
// Configuration files of the services. Kubernetes' own are JSON, which is YAML.
#include <fmt/format.h>

#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/kubernetes/cluster.h"
#include "agent/sandbox/protocol.h"

namespace conode::kubernetes {
namespace {

using nlohmann::json;
using sandbox::kBundlePath;
using sandbox::kLibexecPath;
using sandbox::kStatePath;

std::string in_state(const std::string& path) { return std::string(kStatePath) + "/" + path; }

std::string kubeadm_config(const ClusterLayout& c) {
  const json init = {
      {"apiVersion", "kubeadm.k8s.io/v1beta4"},
      {"kind", "InitConfiguration"},
      {"localAPIEndpoint", {{"advertiseAddress", c.node_address}, {"bindPort", c.api_port}}},
      {"nodeRegistration",
       {{"name", c.node_name}, {"criSocket", "unix://" + in_state("run/containerd.sock")}}}};
  const json cluster = {{"apiVersion", "kubeadm.k8s.io/v1beta4"},
                        {"kind", "ClusterConfiguration"},
                        {"clusterName", "conode"},
                        {"kubernetesVersion", c.kubernetes_version},
                        {"certificatesDir", in_state("pki")},
                        {"controlPlaneEndpoint", fmt::format("{}:{}", c.node_address, c.api_port)},
                        {"networking",
                         {{"podSubnet", c.pod_prefix},
                          {"serviceSubnet", c.service_prefix},
                          {"dnsDomain", c.cluster_domain}}},
                        {"apiServer", {{"certSANs", {"127.0.0.1", "localhost", c.node_address}}}},
                        {"encryptionAlgorithm", "ECDSA-P256"}};
  return init.dump(1) + "\n---\n" + cluster.dump(1) + "\n";
}

std::string kubelet_config(const ClusterLayout& c, const std::string& dns) {
  const bool controllers = c.level == "controllers";
  json config = {
      {"apiVersion", "kubelet.config.k8s.io/v1beta1"},
      {"kind", "KubeletConfiguration"},
      {"authentication",
       {{"anonymous", {{"enabled", false}}},
        {"webhook", {{"enabled", true}}},
        {"x509", {{"clientCAFile", in_state("pki/ca.crt")}}}}},
      {"authorization", {{"mode", "Webhook"}}},
      {"cgroupDriver", "cgroupfs"},
      {"cgroupsPerQOS", controllers},
      {"enforceNodeAllocatable", controllers ? json({"pods"}) : json::array()},
      {"failSwapOn", false},
      {"failCgroupV1", false},
      {"localStorageCapacityIsolation", false},
      {"containerRuntimeEndpoint", "unix://" + in_state("run/containerd.sock")},
      {"clusterDNS", {dns}},
      {"clusterDomain", c.cluster_domain},
      {"resolvConf", in_state("etc/resolv.conf")},
      {"tlsCertFile", in_state("pki/kubelet-serving.crt")},
      {"tlsPrivateKeyFile", in_state("pki/kubelet-serving.key")},
      {"volumePluginDir", "/var/lib/kubelet/volume-plugins"},
      {"maxPods", c.max_pods},
      // Images are imported, not pulled: what a full disk would collect could not come back.
      {"imageGCHighThresholdPercent", 100},
      {"evictionHard", {{"nodefs.available", "1%"}, {"imagefs.available", "1%"}}},
      // The node's allocatable is the Kubernetes part, not the machine.
      {"systemReserved",
       {{"cpu", fmt::format("{}m", c.reserved_milli_cpus)},
        {"memory", fmt::format("{}", c.reserved_memory)}}}};
  if (controllers && c.pod_tasks != 0) config["podPidsLimit"] = c.pod_tasks;
  if (controllers && !c.reserved_cpus.empty()) {
    config["reservedSystemCPUs"] = c.reserved_cpus;
    config["cpuManagerPolicy"] = "static";
    config["systemReserved"].erase("cpu");
  }
  return config.dump(1) + "\n";
}

std::string proxy_config(const ClusterLayout& c) {
  const json config = {{"apiVersion", "kubeproxy.config.k8s.io/v1alpha1"},
                       {"kind", "KubeProxyConfiguration"},
                       {"mode", "nftables"},
                       {"clusterCIDR", c.pod_prefix},
                       {"clientConnection", {{"kubeconfig", in_state("etc/kube-proxy.conf")}}},
                       // nf_conntrack's limits belong to the host.
                       {"conntrack",
                        {{"maxPerCore", 0},
                         {"min", 0},
                         {"tcpEstablishedTimeout", "0s"},
                         {"tcpCloseWaitTimeout", "0s"}}}};
  return config.dump(1) + "\n";
}

// UDP, whatever the client has used: pasta answers for a resolver of the host's loopback by UDP.
std::string forward(const ClusterLayout& c) {
  if (c.dns_upstreams.empty()) return {};
  return fmt::format(R"(    forward . {} {{
        prefer_udp
        policy sequential
    }}
)",
                     fmt::join(c.dns_upstreams, " "));
}

std::string corefile(const ClusterLayout& c) {
  return fmt::format(R"(.:53 {{
    bind {address}
    errors
    ready 127.0.0.1:8181
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        kubeconfig {config} coredns@conode
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
{forward}    cache 30 {{
        disable success {domain}
        disable denial {domain}
    }}
    loadbalance
}}
)",
                     fmt::arg("address", c.node_address), fmt::arg("domain", c.cluster_domain),
                     fmt::arg("config", in_state("etc/coredns.conf")),
                     fmt::arg("forward", forward(c)));
}

std::string containerd_config(const ClusterLayout& c) {
  const bool controllers = c.level == "controllers";
  return fmt::format(
      R"(version = 3
root = "{state}/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
address = "{state}/run/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "registry.k8s.io/pause:3.10"
[plugins.'io.containerd.cri.v1.runtime']
disable_cgroup = {disable_cgroup}
disable_apparmor = true
disable_hugetlb_controller = true
tolerate_missing_hugetlb_controller = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{libexec}", "{bundle}"]
conf_dir = "{state}/etc/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "{libexec}/conode-oci"
SystemdCgroup = false
)",
      fmt::arg("state", kStatePath), fmt::arg("libexec", kLibexecPath),
      fmt::arg("bundle", kBundlePath), fmt::arg("disable_cgroup", !controllers));
}

std::string cni_config(const ClusterLayout& c) {
  json plugin = {{"type", "conode-cni"},
                 {"mode", c.pod_bridge ? "bridge" : "routed"},
                 {"capabilities", {{"portMappings", true}}},  // hostPort
                 {"ipam", {{"range", c.node_pods}, {"data_dir", in_state("cni")}}}};
  if (c.pod_mtu != 0) plugin["mtu"] = c.pod_mtu;
  const json list = {{"cniVersion", "1.1.0"}, {"name", "conode"}, {"plugins", {plugin}}};
  return list.dump(1) + "\n";
}

}  // namespace

Result<std::string> address_in(const std::string& prefix, uint32_t index) {
  boost::system::error_code error;
  const auto network = boost::asio::ip::make_network_v4(prefix, error);
  if (error) return failure(fmt::format("read the prefix '{}': {}", prefix, error.message()));
  const uint32_t base = network.canonical().network().to_uint();
  return boost::asio::ip::address_v4(base + index).to_string();
}

Result<std::string> node_pod_prefix(const std::string& cluster_prefix, uint32_t rank) {
  constexpr uint32_t kPodsPerNode = 256;
  return TRY(address_in(cluster_prefix, kPodsPerNode * rank)) + "/24";
}

Result<std::string> dns_address(const ClusterLayout& layout) {
  constexpr uint32_t kIndex = 10;
  return address_in(layout.service_prefix, kIndex);
}

Result<std::map<std::string, std::string>> configuration_files(const ClusterLayout& layout) {
  const std::string dns = TRY(dns_address(layout));
  return std::map<std::string, std::string>{
      {"etc/kubeadm.yaml", kubeadm_config(layout)},
      {"etc/kubelet.yaml", kubelet_config(layout, dns)},
      {"etc/kube-proxy.yaml", proxy_config(layout)},
      {"etc/Corefile", corefile(layout)},
      {"etc/containerd.toml", containerd_config(layout)},
      {"etc/cni/10-conode.conflist", cni_config(layout)},
      {"etc/resolv.conf", fmt::format("nameserver {}\n", dns)},
  };
}

Result<void> write_files(const std::string& state_dir,
                         const std::map<std::string, std::string>& files) {
  for (const auto& [path, content] : files) {
    const std::string full = fmt::format("{}/{}", state_dir, path);
    TRY(make_dirs(full.substr(0, full.rfind('/'))));
    TRY(replace_file(full, content));
  }
  return {};
}

}  // namespace conode::kubernetes
