// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/allocation/allocation.h"

namespace conode::cli {
namespace {

using allocation::System;
using config::Allocation;
using launch::Kind;

// The user's own words.
Placement named(const Allocation& a) {
  Placement p;
  p.launch.hosts.assign(a.hosts().begin(), a.hosts().end());
  p.launch.nodes =
      p.launch.hosts.empty() ? a.nodes() : static_cast<uint32_t>(p.launch.hosts.size()) + 1;
  const bool ssh =
      a.launcher() == Allocation::SSH || (a.launcher() == Allocation::AUTO && a.hosts_size() > 0);
  if (p.launch.nodes > 1) p.launch.kind = ssh ? Kind::ssh : Kind::local;
  return p;
}

struct Way {
  System system;
  Kind kind;
  Allocation::Launcher launcher;
  const char* name;  // of that
};
constexpr std::array<Way, 3> kWays{{{System::slurm, Kind::srun, Allocation::SRUN, "srun"},
                                    {System::flux, Kind::flux, Allocation::FLUX, "flux"},
                                    {System::pbs, Kind::pbs, Allocation::PBS, "pbs"}}};

const Way* way_of(System system) {
  const auto* way =
      std::find_if(kWays.begin(), kWays.end(), [&](const Way& w) { return w.system == system; });
  return way == kWays.end() ? nullptr : way;
}

// Asked for by name.
const Way* named_way(const Allocation& a) {
  const auto* way = std::find_if(kWays.begin(), kWays.end(),
                                 [&](const Way& w) { return w.launcher == a.launcher(); });
  return way == kWays.end() ? nullptr : way;
}

// All nodes of the batch job, or as many of them as were asked for.
Result<Placement> of_batch_job(const Allocation& a, const allocation::Allocation& job) {
  Placement p{.launch = {}, .time_limit = job.end};
  if (const Way* wanted = named_way(a); wanted != nullptr && wanted->system != job.system)
    return failure(
        fmt::format("start agents by '{}': this is no job of that batch system", wanted->name),
        "call conode in one, or take another --launcher");
  const size_t given = std::max<size_t>(job.hosts.size(), 1);
  if (a.has_nodes() && a.nodes() > given)
    return failure(fmt::format("use {} nodes: job {} has {}", a.nodes(), job.id, given),
                   "ask the batch system for more, or take --launcher local");
  if (given < 2 || (a.has_nodes() && a.nodes() == 1)) return p;
  p.launch.kind = way_of(job.system)->kind;
  p.launch.nodes = a.has_nodes() ? a.nodes() : static_cast<uint32_t>(job.hosts.size());
  p.launch.hosts.assign(job.hosts.begin() + 1, job.hosts.begin() + p.launch.nodes);
  if (!job.places.empty())
    p.launch.brokers.assign(job.places.begin() + 1, job.places.begin() + p.launch.nodes);
  p.launch.own_name = job.address;
  return p;
}

}  // namespace

Result<Placement> placement_of(const config::Config& config) {
  const Allocation& a = config.allocation();
  const allocation::Surroundings around = allocation::surroundings();
  const bool batch = allocation::system_of(around) != System::none;
  const bool is_named = a.hosts_size() > 0 || a.launcher() == Allocation::LOCAL ||
                        a.launcher() == Allocation::SSH || (a.has_nodes() && !batch);
  Placement p = named(a);
  if (!is_named || named_way(a) != nullptr)
    p = TRY(of_batch_job(a, TRY(allocation::find_allocation(around))));
  p.launch.ssh_config = a.ssh_config();
  p.launch.address = config.network().address();
  return p;
}

}  // namespace conode::cli
