// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/agent_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/bundle/build.h"
#include "agent/bundle/bundle.h"
#include "agent/cli/placement.h"
#include "agent/cli/session.h"
#include "agent/egress/resolvers.h"
#include "agent/job/cleanup.h"
#include "agent/job/vxlan_ways.h"
#include "agent/launch/launcher.h"
#include "netplug/uplink/tun.h"

namespace conode::cli {
namespace {

Result<void> refuse_root() {
  if (::geteuid() != 0) return {};
  return failure("start a cluster as root: the sandbox's root would be the machine's",
                 "run conode as the user of the job");
}

// What runs in a job's HPC part ends with it.
Result<void> refuse_nesting() {
  if (std::getenv(job::kPartVariable) == nullptr) return {};
  const char* job = std::getenv("CONODE_JOB");
  return failure(
      fmt::format("start a cluster inside the HPC part of job '{}'", job != nullptr ? job : "?"),
      "leave its shell or command first");
}

Result<bundle::Bundle> usable_bundle(const config::Config& config) {
  const std::string path = config.bundle().empty() ? TRY(bundle::find()) : config.bundle();
  return bundle::verify(path, bundle::Level::fast);
}

// What dead agents of this user left, so that it neither piles up nor is in the way.
Result<void> sweep_first(const std::string& base, const std::string& libexec,
                         const std::string& job) {
  const job::SweepReport swept = TRY(job::sweep(base, libexec));
  for (const std::string& name : swept.removed) log::info("swept what job '{}' had left", name);
  for (const Error& error : swept.failures) log::warning("{}, ignoring", error.message());
  if (std::find(swept.alive.begin(), swept.alive.end(), job) == swept.alive.end()) return {};
  return failure(fmt::format("start job '{}': it is running already", job),
                 "use it, end it with 'conode down', or name another with --job");
}

job::EnforcedPart enforced(const Part& part) {
  job::EnforcedPart out;
  out.cpus = part.cpus.to_string();
  out.mask = part.cpus.to_cpu_set();
  out.cores = static_cast<uint32_t>(part.cores);
  out.memory = part.memory;
  out.memory_nodes = part.memory_nodes();
  return out;
}

uint64_t machine_memory() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// The machine's CPUs without `mask`, kernel list format.
std::string online_but(const cpu_set_t& mask) {
  const std::string online = read_file("/sys/devices/system/cpu/online").value_or("");
  Result<CpuSet> cpus = CpuSet::parse(online);
  if (!cpus) return {};
  for (const int cpu : CpuSet(mask).to_vector()) cpus->remove(cpu);
  return cpus->to_string();
}

// A label value: letters, digits, '-', '_' and '.', at most 63.
std::string host_label() {
  std::array<char, 64> name{};
  (void)::gethostname(name.data(), name.size() - 1);
  std::string label = name.data();
  for (char& c : label)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '.') c = '_';
  while (!label.empty() && std::isalnum(static_cast<unsigned char>(label.back())) == 0)
    label.pop_back();
  return label.empty() ? "unknown" : label;
}

// The address of this node from which rank 0's "tcp://ADDRESS:PORT" is reached.
Result<std::string> own_address(const std::string& root_endpoint) {
  constexpr std::string_view kScheme = "tcp://";
  const size_t colon = root_endpoint.rfind(':');
  if (!root_endpoint.starts_with(kScheme) || colon <= kScheme.size())
    return failure(fmt::format("read the ticket: endpoint '{}'", root_endpoint));
  return launch::address_towards(root_endpoint.substr(kScheme.size(), colon - kScheme.size()));
}

Result<kubernetes::ClusterLayout> layout(const config::Config& config,
                                         const job::AgentOptions& options,
                                         const bundle::Bundle& bundle) {
  const job::Membership& own = options.membership;
  kubernetes::ClusterLayout c;
  c.rank = own.rank;
  c.nodes = own.size;
  c.node_name = fmt::format("n{}", own.rank);
  c.host_name = host_label();
  c.node_prefix = config.network().node_prefix();
  c.node_address = TRY(kubernetes::address_in(c.node_prefix, own.rank + 1));
  c.pod_prefix = config.network().pod_prefix();
  c.node_pods = TRY(kubernetes::node_pod_prefix(c.pod_prefix, own.rank));
  c.service_prefix = config.network().service_prefix();
  c.cluster_domain = config.kubernetes().cluster_domain();
  c.reserved_cpus = online_but(options.k8s.mask);
  constexpr uint64_t kMilli = 1000;
  const auto machine = static_cast<uint64_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  c.reserved_milli_cpus =
      kMilli * (machine - std::min(machine, static_cast<uint64_t>(CPU_COUNT(&options.k8s.mask))));
  c.reserved_memory = machine_memory() - std::min(machine_memory(), options.k8s.memory);
  c.max_pods = static_cast<int>(config.kubernetes().max_pods());
  // The relay carries packets whole, whatever the fabric's MTU is.
  c.pod_mtu = config.network().mtu() != 0 ? static_cast<int>(config.network().mtu())
              : own.size > 1              ? kRelayMtu
                                          : 0;
  c.pod_bridge = config.network().pod_link() == config::Network::BRIDGE;
  for (const bundle::Component& component : bundle.manifest.components)
    if (component.name == "kubernetes") c.kubernetes_version = component.version;
  return c;
}

// What the nodes of a job have in common.
void set_common(job::AgentOptions& o, const config::Config& config) {
  if (config.network().mtu() != 0) o.mtu = static_cast<int>(config.network().mtu());
  o.wanted_enforcement = config::level_name(config.enforcement().level());
  o.carrier_udp = config.network().carrier() == config::Network::UDP;
  o.encrypt = config.network().encryption() == config::Network::AES_GCM;
  o.missing_node = static_cast<job::MissingNode>(config.allocation().missing_node());
  o.node_timeout = config::node_timeout(config);
  o.ready_within = std::chrono::duration_cast<std::chrono::seconds>(config::ready_timeout(config));
  o.stop_grace = config::stop_timeout(config);
  o.before_limit = config::before_limit(config);
}

job::UplinkChoice uplink_choice(const config::Config& config, const job::AgentOptions& o) {
  if (o.membership.size < 2) return job::UplinkChoice::automatic;
  return static_cast<job::UplinkChoice>(config.network().uplink());
}

// The way out of this node. The hosts that a local launcher makes have none themselves, but it may
// carry what goes from node to node.
egress::Choice egress_choice(const config::Config& config, const job::AgentOptions& o) {
  if (o.launch.kind == launch::Kind::local && o.uplink != job::UplinkChoice::fallback &&
      config.network().egress() != config::Egress::NONE)
    return {egress::Kind::none, {}, "several nodes on one machine have no way out"};
  return egress::choose(static_cast<egress::Wanted>(config.network().egress()), &find_program);
}

Result<std::vector<std::string>> dns_upstreams(const config::Config& config,
                                               const egress::Choice& choice) {
  if (choice.kind == egress::Kind::none) return std::vector<std::string>{};
  const auto& named = config.network().resolvers();
  if (!named.empty()) return egress::upstreams({named.begin(), named.end()});
  const std::optional<std::string> file = TRY(read_file_if_exists("/etc/resolv.conf"));
  return egress::upstreams(egress::resolvers_of(file.value_or("")));
}

// The kernel's VXLAN of the job, if it is wanted and root has made one. It also says how large
// pods' packets may be. `job`: the batch system's, the same on all nodes.
Result<void> set_uplink(job::AgentOptions& o, const std::string& job) {
  const bool local = o.launch.kind == launch::Kind::local;  // hosts that no root knows
  if (o.membership.size < 2 || o.uplink == job::UplinkChoice::relay) return {};
  if (o.uplink == job::UplinkChoice::fallback) {
    if (o.egress.kind != egress::Kind::none) return {};
    return failure(fmt::format("use the uplink 'fallback': {}", o.egress.reason),
                   "install pasta (package passt) or slirp4netns, and leave network.egress auto");
  }
  if (local && o.uplink == job::UplinkChoice::vxlan)
    return failure("use the uplink 'vxlan': launcher 'local' makes hosts of its own",
                   "choose --uplink relay");
  if (local) return {};
  const Result<VxlanEnd> vxlan = job::find_vxlan(job, o.membership, o.layout);
  if (vxlan) {
    o.vxlan_job = job;
    o.layout.pod_mtu = std::min(o.layout.pod_mtu, vxlan->mtu);
    return {};
  }
  if (o.uplink == job::UplinkChoice::vxlan)
    return tl::make_unexpected(Error(vxlan.error())
                                   .with_remedy("as root, on every node: 'conode-hook vxlan up', "
                                                "see conode-hook(8); or choose --uplink relay"));
  if (!vxlan.error().is(std::errc::no_such_file_or_directory))
    log::warning("{}; the relay is used", vxlan.error().message());
  return {};
}

// What this node gives: bundle, plan, level.
Result<void> set_node(job::AgentOptions& o, const config::Config& config) {
  const bundle::Bundle bundle = TRY(usable_bundle(config));
  o.bundle_dir = bundle.path;
  const Topology topology = TRY(allocation_topology());
  const Plan plan = TRY(plan_for(config, topology));
  for (const std::string& warning : plan.warnings) log::warning("{}", warning);
  o.shared_core = plan.shared;
  o.hpc = enforced(plan.hpc);
  o.k8s = enforced(plan.k8s);
  if (!plan.hpc.cpus.empty()) o.hpc_topology_xml = TRY(topology.restricted_xml(plan.hpc.cpus));
  o.layout = TRY(layout(config, o, bundle));
  o.uplink = uplink_choice(config, o);
  o.egress = egress_choice(config, o);
  o.layout.dns_upstreams = TRY(dns_upstreams(config, o.egress));
  return {};
}

// For the other agents: what the user has said, but for paths that they shall find like this one.
std::string config_of_others(const config::Config& config, const std::string& bundle_dir,
                             bool local) {
  config::Config others = config;
  others.clear_images();
  others.clear_allocation();
  others.mutable_network()->clear_address();
  const bool fallback = config.network().uplink() == config::Network::FALLBACK;
  if (local && !fallback) others.mutable_network()->set_egress(config::Egress::NONE);
  if (local && !fallback) others.mutable_network()->set_uplink(config::Network::RELAY);
  others.set_bundle(bundle_dir);
  return others.SerializeAsString();
}

}  // namespace

Result<job::AgentOptions> agent_options(const config::Config& config,
                                        const std::string& default_name) {
  TRY(refuse_root());
  TRY(refuse_nesting());
  job::AgentOptions o;
  o.job = config.job().empty() ? batch_job_name() : config.job();
  if (o.job.empty()) o.job = default_name;
  const Placement placement = TRY(placement_of(config));
  o.launch = placement.launch;
  o.time_limit = placement.time_limit;
  // The other nodes' jobs have longer names.
  const std::string longest =
      o.launch.nodes > 1 ? fmt::format("{}.n{}", o.job, o.launch.nodes - 1) : o.job;
  TRY(job::check_job_name(longest));
  o.state_base = state_base(config);
  TRY(job::check_path_length(o.state_base, longest));
  TRY(job::prepare_base(o.state_base, config.allow_network_file_system()));
  o.libexec_dir = TRY(libexec_dir());
  TRY(sweep_first(o.state_base, o.libexec_dir, o.job));
  set_common(o, config);
  o.membership.size = o.launch.nodes;
  TRY(set_node(o, config));
  TRY(set_uplink(o, o.job));
  o.config = config_of_others(config, o.bundle_dir, o.launch.kind == launch::Kind::local);
  o.api_port = static_cast<uint16_t>(config.kubernetes().api_port());
  o.expose_address = config.network().expose_address();
  o.images.assign(config.images().begin(), config.images().end());
  return o;
}

Result<job::AgentOptions> agent_options(const agent::Ticket& ticket) {
  TRY(refuse_root());
  config::Config config;
  if (!config.ParseFromString(ticket.config()))
    return failure("read the ticket: bad configuration");
  job::AgentOptions o;
  o.membership = {.rank = ticket.rank(),
                  .size = ticket.size(),
                  .address = TRY(own_address(ticket.root_endpoint())),
                  .root_endpoint = ticket.root_endpoint(),
                  .secret = TRY(bus::Secret::from_bytes(ticket.secret()))};
  o.job = fmt::format("{}.n{}", ticket.job(), ticket.rank());
  TRY(job::check_job_name(o.job));
  o.state_base = state_base(config);
  TRY(job::prepare_base(o.state_base, config.allow_network_file_system()));
  o.libexec_dir = TRY(libexec_dir());
  TRY(job::sweep(o.state_base, o.libexec_dir, o.job));
  set_common(o, config);
  TRY(set_node(o, config));
  TRY(set_uplink(o, ticket.job()));
  o.images_awaited = ticket.images();
  return o;
}

}  // namespace conode::cli
