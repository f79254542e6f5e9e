// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/agent_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/bundle/build.h"
#include "agent/bundle/bundle.h"
#include "agent/cli/session.h"
#include "agent/job/cleanup.h"

namespace conode::cli {
namespace {

Result<void> refuse_root() {
  if (::geteuid() != 0) return {};
  return failure("start a cluster as root: the sandbox's root would be the machine's",
                 "run conode as the user of the job");
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
  out.memory = part.memory;
  out.memory_nodes = part.memory_nodes();
  return out;
}

uint64_t machine_memory() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
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

Result<kubernetes::ClusterLayout> layout(const config::Config& config,
                                         const job::AgentOptions& options,
                                         const bundle::Bundle& bundle) {
  kubernetes::ClusterLayout c;
  c.host_name = host_label();
  c.node_address = TRY(kubernetes::address_in(config.network().node_prefix(), 1));
  c.pod_prefix = config.network().pod_prefix();
  c.node_pods = TRY(kubernetes::node_pod_prefix(c.pod_prefix, 0));
  c.service_prefix = config.network().service_prefix();
  c.cluster_domain = config.kubernetes().cluster_domain();
  c.hpc_cpus = options.hpc.cpus;
  constexpr uint64_t kMilli = 1000;
  const auto machine = static_cast<uint64_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  c.reserved_milli_cpus =
      kMilli * (machine - std::min(machine, static_cast<uint64_t>(CPU_COUNT(&options.k8s.mask))));
  c.reserved_memory = machine_memory() - std::min(machine_memory(), options.k8s.memory);
  c.max_pods = static_cast<int>(config.kubernetes().max_pods());
  for (const bundle::Component& component : bundle.manifest.components)
    if (component.name == "kubernetes") c.kubernetes_version = component.version;
  return c;
}

}  // namespace

Result<job::AgentOptions> agent_options(const config::Config& config,
                                        const std::string& default_name) {
  TRY(refuse_root());
  job::AgentOptions o;
  o.job = config.job().empty() ? batch_job_name() : config.job();
  if (o.job.empty()) o.job = default_name;
  TRY(job::check_job_name(o.job));
  o.state_base = state_base(config);
  TRY(job::prepare_base(o.state_base, config.allow_network_file_system()));
  o.libexec_dir = TRY(libexec_dir());
  TRY(sweep_first(o.state_base, o.libexec_dir, o.job));
  const bundle::Bundle bundle = TRY(usable_bundle(config));
  o.bundle_dir = bundle.path;

  const Topology topology = TRY(allocation_topology());
  const Plan plan = TRY(plan_for(config, topology));
  for (const std::string& warning : plan.warnings) log::warning("{}", warning);
  o.wanted_enforcement = config::level_name(config.enforcement().level());
  o.shared_core = plan.shared;
  o.hpc = enforced(plan.hpc);
  o.k8s = enforced(plan.k8s);
  if (!plan.hpc.cpus.empty()) o.hpc_topology_xml = TRY(topology.restricted_xml(plan.hpc.cpus));
  o.layout = TRY(layout(config, o, bundle));
  if (config.network().mtu() != 0) o.mtu = static_cast<int>(config.network().mtu());
  o.api_port = static_cast<uint16_t>(config.kubernetes().api_port());
  o.images.assign(config.images().begin(), config.images().end());
  o.ready_within = std::chrono::duration_cast<std::chrono::seconds>(config::ready_timeout(config));
  o.stop_grace = config::stop_timeout(config);
  return o;
}

}  // namespace conode::cli
