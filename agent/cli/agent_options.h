// SPDX-License-Identifier: Apache-2.0
// From the configuration and this node to what the agent shall do: allocation, plan, level, bundle.
#pragma once

#include <optional>
#include <string>

#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/job/node_agent.h"
#include "agent/proto/agent.pb.h"
#include "agent/topology/plan.h"
#include "agent/topology/topology.h"

namespace conode::cli {

// What the configuration asks of a plan.
[[nodiscard]] PlanRequest plan_request(const config::Config& config);

// The plan for `topology`: computed, or the configuration's file checked against it.
[[nodiscard]] Result<Plan> plan_for(const config::Config& config, const Topology& topology);

// This node's topology, as far as the allocation goes.
[[nodiscard]] Result<Topology> allocation_topology();

// Everything rank 0's agent needs. Sweeps what dead agents of the user left, and makes nothing.
// `default_name`: the job's, outside of any batch system.
[[nodiscard]] Result<job::AgentOptions> agent_options(const config::Config& config,
                                                      const std::string& default_name);

// The same for the agent of another node, from what rank 0 has given it.
[[nodiscard]] Result<job::AgentOptions> agent_options(const agent::Ticket& ticket);

}  // namespace conode::cli
