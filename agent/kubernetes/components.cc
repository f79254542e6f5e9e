// SPDX-License-Identifier: Apache-2.0
// The services of a node: their command lines, order and readiness. Version differences of
// upstream's flags live here and nowhere else.
#include <fmt/format.h>

#include "agent/kubernetes/cluster.h"
#include "agent/sandbox/protocol.h"

namespace conode::kubernetes {
namespace {

using sandbox::kBundlePath;
using sandbox::kLibexecPath;
using services::ReadyByHttp;
using services::ReadyByNotify;
using services::ReadyWhenCompleted;
using services::ServiceSpec;

constexpr const char* kEtc = "/run/conode/state/etc";
constexpr const char* kPki = "/run/conode/state/pki";
constexpr const char* kRun = "/run/conode/state/run";

std::string etcd_socket() { return fmt::format("unix://{}/etcd.sock", kRun); }

std::string program(const char* name) { return fmt::format("{}/{}", kBundlePath, name); }

using Words = std::vector<std::string>;

// A certificate for a kubelet's port, and its identity towards the API server.
Words node_identity(const ClusterLayout& c, uint32_t rank) {
  const std::string name = fmt::format("n{}", rank);
  const std::string address = address_in(c.node_prefix, rank + 1).value_or("");
  return {"--",
          fmt::format("--serving={}/{}-serving", kPki, name),
          name,
          address,
          "--",
          fmt::format("--out={}/{}.conf", kEtc, name),
          "kubeconfig",
          "user",
          fmt::format("--config={}/kubeadm.yaml", kEtc),
          "--client-name=system:node:" + name,
          "--org=system:nodes"};
}

// Certificates, kubeconfigs, and the seed of etcd (agent/bundle/recipe/kubernetes/seed.go).
ServiceSpec certificates(const ClusterLayout& c) {
  const std::string config = fmt::format("--config={}/kubeadm.yaml", kEtc);
  const std::string dir = fmt::format("--kubeconfig-dir={}", kEtc);
  const auto user = [&](const char* name, const char* file) -> Words {
    return {"--",   fmt::format("--out={}/{}", kEtc, file), "kubeconfig", "user",
            config, fmt::format("--client-name={}", name)};
  };
  ServiceSpec spec{
      .name = "kubeadm",
      .argv = {program("kube"), "kubeadm-phases", "init", "phase", "certs", "all", config, "--",
               "init", "phase", "kubeconfig", "all", config, dir},
      .ready = ReadyWhenCompleted{},
  };
  const auto serving = [](const char* name, Words hosts) {
    hosts.insert(hosts.begin(), {"--", fmt::format("--serving={}/{}-serving", kPki, name)});
    return hosts;
  };
  const Words seed{"--", fmt::format("--seed={}/seed.json", kBundlePath), etcd_socket()};
  for (const auto& segment :
       {user("system:kube-proxy", "kube-proxy.conf"), user("coredns", "coredns.conf"),
        serving("kubelet", {c.node_name, c.node_address}),
        serving("controller-manager", {"localhost", "127.0.0.1"}),
        serving("scheduler", {"localhost", "127.0.0.1"}), seed})
    spec.argv.insert(spec.argv.end(), segment.begin(), segment.end());
  for (uint32_t rank = 1; rank < c.nodes; ++rank) {
    const Words identity = node_identity(c, rank);
    spec.argv.insert(spec.argv.end(), identity.begin(), identity.end());
  }
  return spec;
}

// The one client is the API server, over a socket that only root of the sandbox can open; there are
// no peers. What is advertised must look like host:port, and nobody uses it.
ServiceSpec etcd() {
  return {.name = "etcd",
          .argv = {program("etcd"), "--name=n0", "--data-dir=/run/conode/state/etcd",
                   "--unsafe-no-fsync", "--listen-client-urls=" + etcd_socket(),
                   "--advertise-client-urls=http://127.0.0.1:2379",
                   fmt::format("--listen-peer-urls=unix://{}/etcd-peer.sock", kRun),
                   "--initial-advertise-peer-urls=http://127.0.0.1:2380",
                   "--initial-cluster=n0=http://127.0.0.1:2380", "--log-level=warn",
                   // The only member waits up to one election timeout before it elects itself. A
                   // shorter heartbeat would let it wait less, and cost a third more CPU for ever.
                   "--heartbeat-interval=100", "--election-timeout=500"},
          .ready = ReadyByNotify{}};
}

ServiceSpec containerd() {
  return {.name = "containerd",
          .argv = {program("containerd"), fmt::format("--config={}/containerd.toml", kEtc)},
          .ready = ReadyByNotify{}};
}

// Ready for its clients once it knows the roles, which the seed has put there: /version is open to
// strangers, but by a role. /readyz comes a second later, see NodeAgent::make_objects().
ServiceSpec api_server(const ClusterLayout& c) {
  const auto pki = [](const char* flag, const char* file) {
    return fmt::format("--{}={}/{}", flag, kPki, file);
  };
  return {.name = "kube-apiserver",
          .argv = {program("kube-apiserver"),
                   "--advertise-address=" + c.node_address,
                   "--bind-address=" + c.node_address,
                   fmt::format("--secure-port={}", c.api_port),
                   "--allow-privileged=true",
                   "--authorization-mode=Node,RBAC",
                   pki("client-ca-file", "ca.crt"),
                   "--enable-admission-plugins=NodeRestriction",
                   "--enable-bootstrap-token-auth=true",
                   "--etcd-servers=" + etcd_socket(),
                   pki("kubelet-certificate-authority", "ca.crt"),
                   pki("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
                   pki("kubelet-client-key", "apiserver-kubelet-client.key"),
                   "--kubelet-preferred-address-types=InternalIP",
                   pki("proxy-client-cert-file", "front-proxy-client.crt"),
                   pki("proxy-client-key-file", "front-proxy-client.key"),
                   "--requestheader-allowed-names=front-proxy-client",
                   pki("requestheader-client-ca-file", "front-proxy-ca.crt"),
                   "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                   "--requestheader-group-headers=X-Remote-Group",
                   "--requestheader-username-headers=X-Remote-User",
                   "--service-account-issuer=https://kubernetes.default.svc." + c.cluster_domain,
                   pki("service-account-key-file", "sa.pub"),
                   pki("service-account-signing-key-file", "sa.key"),
                   "--service-cluster-ip-range=" + c.service_prefix,
                   pki("tls-cert-file", "apiserver.crt"),
                   pki("tls-private-key-file", "apiserver.key"),
                   "--profiling=false"},
          .after = {"kubeadm", "etcd"},
          .ready = ReadyByHttp{c.node_address, c.api_port, "/version", true}};
}

// client-go's default of 20 requests a second makes the first pod wait for seconds.
std::vector<std::string> controller_flags(const char* name) {
  const std::string path = fmt::format("{}/{}.conf", kEtc, name);
  return {program(fmt::format("kube-{}", name).c_str()),
          "--leader-elect=false",
          "--kube-api-qps=1000",
          "--kube-api-burst=2000",
          "--profiling=false",
          "--bind-address=127.0.0.1",
          fmt::format("--tls-cert-file={}/{}-serving.crt", kPki, name),
          fmt::format("--tls-private-key-file={}/{}-serving.key", kPki, name),
          "--kubeconfig=" + path,
          "--authentication-kubeconfig=" + path,
          "--authorization-kubeconfig=" + path};
}

ServiceSpec controller_manager(const ClusterLayout& c) {
  ServiceSpec spec{.name = "kube-controller-manager",
                   .argv = controller_flags("controller-manager"),
                   .after = {"kube-apiserver"},
                   .ready = ReadyByHttp{"127.0.0.1", 10257, "/healthz", true}};
  for (const std::string& flag :
       {fmt::format("--client-ca-file={}/ca.crt", kPki),
        fmt::format("--cluster-signing-cert-file={}/ca.crt", kPki),
        fmt::format("--cluster-signing-key-file={}/ca.key", kPki),
        fmt::format("--root-ca-file={}/ca.crt", kPki),
        fmt::format("--service-account-private-key-file={}/sa.key", kPki),
        std::string("--use-service-account-credentials=true"),
        std::string("--allocate-node-cidrs=false"),  // a node's pods follow from its rank
        "--service-cluster-ip-range=" + c.service_prefix,
        std::string("--controllers=*,bootstrapsigner,tokencleaner")})
    spec.argv.push_back(flag);
  return spec;
}

ServiceSpec scheduler() {
  return {.name = "kube-scheduler",
          .argv = controller_flags("scheduler"),
          .after = {"kube-apiserver"},
          .ready = ReadyByHttp{"127.0.0.1", 10259, "/healthz", true}};
}

}  // namespace

ServiceSpec kubelet_service(const ClusterLayout& c) {
  return {
      .name = "kubelet",
      .argv = {program("kubelet"), fmt::format("--kubeconfig={}/kubelet.conf", kEtc),
               fmt::format("--config={}/kubelet.yaml", kEtc), "--hostname-override=" + c.node_name,
               "--node-ip=" + c.node_address, "--root-dir=/var/lib/kubelet",
               fmt::format("--node-labels=conode.io/rank={},conode.io/host={}", c.rank,
                           c.host_name)},
      .after = c.rank == 0 ? Words{"containerd", "kubeadm"} : Words{"containerd"},
      .ready = ReadyByHttp{"127.0.0.1", 10248, "/healthz", false}};
}

ServiceSpec proxy_service(const ClusterLayout& c) {
  return {.name = "kube-proxy",
          .argv = {program("kube-proxy"), fmt::format("--config={}/kube-proxy.yaml", kEtc),
                   "--hostname-override=" + c.node_name},
          .after = c.rank == 0 ? Words{"kube-apiserver"} : Words{},
          .ready = ReadyByHttp{"127.0.0.1", 10256, "/healthz", false}};
}

ServiceSpec dns_service() {
  return {.name = "coredns",
          .argv = {program("coredns"), "-conf", fmt::format("{}/Corefile", kEtc)},
          .after = {"kube-apiserver"},
          .ready = ReadyByHttp{"127.0.0.1", 8181, "/ready", false}};
}

std::vector<ServiceSpec> control_plane_services(const ClusterLayout& c) {
  return {certificates(c),       etcd(),      containerd(),       api_server(c),
          controller_manager(c), scheduler(), kubelet_service(c), proxy_service(c)};
}

std::vector<ServiceSpec> worker_services(const ClusterLayout& /*layout*/) { return {containerd()}; }

std::map<std::string, std::string> join_material(uint32_t rank) {
  const std::string name = fmt::format("n{}", rank);
  return {{"pki/ca.crt", "pki/ca.crt"},
          {fmt::format("pki/{}-serving.crt", name), "pki/kubelet-serving.crt"},
          {fmt::format("pki/{}-serving.key", name), "pki/kubelet-serving.key"},
          {fmt::format("etc/{}.conf", name), "etc/kubelet.conf"},
          {"etc/kube-proxy.conf", "etc/kube-proxy.conf"}};
}

std::vector<std::string> service_environment(const ClusterLayout& c) {
  return {fmt::format("PATH={}:{}:/usr/sbin:/usr/bin:/sbin:/bin", kBundlePath, kLibexecPath),
          "HOME=/run/conode/state", "TMPDIR=/run/conode/state/tmp", "CONODE_ENFORCEMENT=" + c.level,
          fmt::format("CONODE_RUNC={}/runc", kBundlePath)};
}

}  // namespace conode::kubernetes
