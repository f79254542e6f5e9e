// SPDX-License-Identifier: Apache-2.0
#include "agent/allocation/flux.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace conode::allocation {
namespace {

Result<void> refuse_parallel_jobs(const Surroundings& around, const std::string& id) {
  for (const auto& [name, what] :
       {std::pair{"FLUX_JOB_NNODES", "nodes"}, {"FLUX_JOB_SIZE", "tasks"}}) {
    const std::string count = variable(around, name);
    if (!count.empty() && count != "1")
      return failure(fmt::format("use Flux job {}: it has {} {}", id, count, what),
                     "start conode once in an instance of your own: flux batch, flux alloc");
  }
  return {};
}

// By the ranks of their brokers, ours first.
Result<void> find_hosts(const Surroundings& around, Allocation& found) {
  const std::string what = fmt::format("find the nodes of Flux instance {}", found.id);
  std::istringstream names(TRY_AS(what, around.ask({"flux", "hostlist", "--expand", "instance"})));
  for (std::string name; names >> name;) found.hosts.push_back(name);
  uint32_t own = 0;
  if (!(std::istringstream(TRY_AS(what, around.ask({"flux", "getattr", "rank"}))) >> own) ||
      own >= found.hosts.size())
    return failure(what + ": this is none of them");
  for (uint32_t rank = 0; rank < found.hosts.size(); ++rank) found.places.push_back(rank);
  std::rotate(found.places.begin(), found.places.begin() + own, found.places.end());
  std::rotate(found.hosts.begin(), found.hosts.begin() + own, found.hosts.end());
  return {};
}

// Seconds. "infinity" or a failure: there is no limit, or nobody knows.
std::optional<std::chrono::system_clock::time_point> end(const Surroundings& around) {
  const Result<std::string> said = around.ask({"flux", "job", "timeleft"});
  double seconds = 0;
  if (!said || !(std::istringstream(*said) >> seconds) || !std::isfinite(seconds))
    return std::nullopt;
  constexpr double kFarAway = 1e9;
  if (seconds > kFarAway) return std::nullopt;
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::seconds>(std::chrono::duration<double>(seconds));
}

}  // namespace

Result<void> look_at_flux(const Surroundings& around, Allocation& found) {
  if (!variable(around, "FLUX_JOB_ID").empty())
    TRY(refuse_parallel_jobs(around, found.id));
  else
    TRY(find_hosts(around, found));
  found.end = end(around);
  return {};
}

}  // namespace conode::allocation
