// SPDX-License-Identifier: Apache-2.0
// conode plan, and the plan that up and exec use.
#include "agent/topology/plan.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "agent/allocation/allocation.h"
#include "agent/base/file.h"
#include "agent/cli/agent_options.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "cgroup/hierarchy.h"
#include "cgroup/limits.h"

namespace conode::cli {

PlanRequest plan_request(const config::Config& config) {
  const config::Partition& p = config.partition();
  PlanRequest request;
  if (p.has_k8s_cores()) request.k8s_cores = p.k8s_cores();
  if (p.has_k8s_share()) request.k8s_share = p.k8s_share();
  if (p.has_k8s_memory()) request.k8s_memory = p.k8s_memory();
  request.allow_shared_core = p.allow_shared_core();
  return request;
}

Result<Plan> plan_for(const config::Config& config, const Topology& topology) {
  const config::Partition& p = config.partition();
  if (!p.has_plan()) return make_plan(topology, plan_request(config));
  return TRY_AS(fmt::format("read the plan '{}'", p.plan()),
                plan_from_json(TRY(read_file(p.plan())), topology));
}

Result<Topology> allocation_topology() {
  AllocationLimits limits;
  if (const Result<std::string> own = own_cgroup_path(); own)
    for (const auto& [file, limit] : {std::pair("cpuset.cpus.effective", &limits.cpus_effective),
                                      std::pair("cpuset.mems.effective", &limits.mems_effective)})
      *limit = TRY(read_file_if_exists(*own + "/" + file));
  limits.memory_bytes = own_memory_limit();
  if (const auto granted = allocation::memory_of(allocation::surroundings()))
    limits.memory_bytes = std::min(limits.memory_bytes.value_or(*granted), *granted);
  return Topology::load(limits);
}

namespace {

struct PlanOptions {
  std::string topology;
  std::string svg;
};

Result<void> show_plan(const Session& session, const config::Config& config,
                       const PlanOptions& options) {
  const Topology topology = options.topology.empty()
                                ? TRY(allocation_topology())
                                : TRY(Topology::from_xml_file(options.topology));
  const Plan plan = TRY(plan_for(config, topology));
  if (!options.svg.empty()) TRY(replace_file(options.svg, to_svg(plan, topology), 0644));
  fmt::print("{}", session.json ? to_json(plan) + "\n" : to_text(plan, topology));
  return {};
}

}  // namespace

void add_plan(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("plan", "How this node, or any, would be split");
  config::add_flags(*verb, session.flags, {"partition"});
  add_json_flag(*verb, session);
  auto options = std::make_shared<PlanOptions>();
  verb->add_option("--topology", options->topology,
                   "hwloc XML of another machine (lstopo FILE.xml)");
  verb->add_option("--svg", options->svg, "Also draw it into this file");
  verb->callback([&session, options] {
    config::Config config;
    if (!session.load(&config)) return;
    const Result<void> done = show_plan(session, config, *options);
    if (!done) session.exit_code = report(session, done.error());
  });
}

}  // namespace conode::cli
