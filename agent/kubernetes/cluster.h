// SPDX-License-Identifier: Apache-2.0
// The cluster as data: addresses and sizes of one node, the configuration files and the services
// that follow from them. Pure functions but for write_files().
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/services/service.h"

namespace conode::kubernetes {

struct ClusterLayout {
  uint32_t rank = 0;
  uint32_t nodes = 1;  // of the job
  std::string node_name = "n0";
  std::string host_name;                     // of the machine, a label of the node
  std::string node_prefix = "10.88.0.0/16";  // of all nodes
  std::string node_address = "10.88.0.1";    // in the sandbox
  std::string pod_prefix = "10.244.0.0/16";  // of the cluster
  std::string node_pods = "10.244.0.0/24";   // of this node
  std::string service_prefix = "10.96.0.0/16";
  std::string cluster_domain = "cluster.local";
  std::vector<std::string> dns_upstreams;  // for names outside, ADDRESS[:PORT]; empty: nobody
  uint16_t api_port = 6443;                // in the sandbox
  std::string level = "affinity";          // enforcement level
  std::string reserved_cpus;               // kernel list format: all but the Kubernetes part's
  uint64_t reserved_milli_cpus = 0;        // machine minus the Kubernetes part
  uint64_t reserved_memory = 0;            // bytes: machine minus the Kubernetes part
  int max_pods = 110;
  uint64_t pod_tasks = 0;   // processes and threads of a pod, at level `controllers`; 0: no limit
  int pod_mtu = 0;          // bytes; 0: the kernel's 1500
  bool pod_bridge = false;  // the node's pods are on an Ethernet bridge, else each has a route
  std::string kubernetes_version = "v1.37.2";
};

// Address number `index` of a prefix such as 10.96.0.0/16.
[[nodiscard]] Result<std::string> address_in(const std::string& prefix, uint32_t index);

// The cluster's DNS, for every pod and node.
[[nodiscard]] Result<std::string> dns_address(const ClusterLayout& layout);

// Pod prefix of a rank: its /24 of the cluster's pod prefix.
[[nodiscard]] Result<std::string> node_pod_prefix(const std::string& cluster_prefix, uint32_t rank);

// Path below the state directory -> content, of every file that the services read. No secrets:
// certificates and kubeconfigs are kubeadm's.
[[nodiscard]] Result<std::map<std::string, std::string>> configuration_files(
    const ClusterLayout& layout);

[[nodiscard]] Result<void> write_files(const std::string& state_dir,
                                       const std::map<std::string, std::string>& files);

// The services of a control plane node, in the order in which they are listed to users.
[[nodiscard]] std::vector<services::ServiceSpec> control_plane_services(
    const ClusterLayout& layout);

// The services with which another node starts; kubelet_service() follows when its join material is
// there, proxy_service() when the API server is.
[[nodiscard]] std::vector<services::ServiceSpec> worker_services(const ClusterLayout& layout);
[[nodiscard]] services::ServiceSpec kubelet_service(const ClusterLayout& layout);
[[nodiscard]] services::ServiceSpec proxy_service(const ClusterLayout& layout);

// What the node of `rank` (1 and up) needs: path below rank 0's state directory, which its service
// "kubeadm" writes -> path below the node's own.
[[nodiscard]] std::map<std::string, std::string> join_material(uint32_t rank);

// CoreDNS, to be started when bootstrap_objects() are there: its rights are among them.
[[nodiscard]] services::ServiceSpec dns_service();

// Environment of every service.
[[nodiscard]] std::vector<std::string> service_environment(const ClusterLayout& layout);

}  // namespace conode::kubernetes
