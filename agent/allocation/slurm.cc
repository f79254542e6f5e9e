// SPDX-License-Identifier: Apache-2.0
#include "agent/allocation/slurm.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <sstream>

namespace conode::allocation {
namespace {

using std::chrono::system_clock;

Result<void> refuse_what_does_not_work(const Surroundings& around, const std::string& job) {
  const std::string parts = variable(around, "SLURM_HET_SIZE");
  if (!parts.empty() && parts != "1")
    return failure(fmt::format("use Slurm job {}: it is heterogeneous, of {} parts", job, parts),
                   "submit one without ':' and 'hetjob': a cluster is of one part");
  // Each of them would be the first node of a cluster of its own.
  const std::string tasks = variable(around, "SLURM_STEP_NUM_TASKS");
  if (!variable(around, "SLURM_STEP_ID").empty() && !tasks.empty() && tasks != "1")
    return failure(fmt::format("use Slurm job {}: this is one of {} tasks of a step", job, tasks),
                   "start conode once, in the batch script or by 'srun --overlap -N1 -n1'");
  return {};
}

// Ours first.
Result<std::vector<std::string>> hosts(const Surroundings& around, const std::string& job) {
  const std::string list = variable(around, "SLURM_JOB_NODELIST");
  std::istringstream names(TRY_AS(fmt::format("find the nodes of Slurm job {}", job),
                                  around.ask({"scontrol", "show", "hostnames", list})));
  std::vector<std::string> all;
  for (std::string name; names >> name;) all.push_back(name);
  const std::string own = variable(around, "SLURMD_NODENAME");
  const auto found = std::find(all.begin(), all.end(), own);
  if (found == all.end())
    return failure(fmt::format("use Slurm job {}: this is none of its nodes, {}", job, list),
                   "a shell on one of them: srun --overlap --nodes=1 --ntasks=1 --pty bash");
  std::rotate(all.begin(), found, found + 1);
  return all;
}

// Names of nodes need not be names of hosts.
std::string address(const Surroundings& around, const std::string& node) {
  constexpr std::string_view kKey = "NodeAddr=";
  std::istringstream words(
      around.ask({"scontrol", "--oneliner", "show", "node", node}).value_or(""));
  for (std::string word; words >> word;)
    if (word.starts_with(kKey)) return word.substr(kKey.size());
  return node;
}

// From 23.02 on it is in the environment.
std::optional<system_clock::time_point> told_end(const Surroundings& around,
                                                 const std::string& job) {
  if (const std::string text = variable(around, "SLURM_JOB_END_TIME"); !text.empty()) {
    time_t seconds = 0;
    if (std::istringstream(text) >> seconds) return system_clock::from_time_t(seconds);
  }
  const Result<std::string> said =
      around.ask({"squeue", "--noheader", "--format=%e", "--jobs", job});
  std::tm time{};
  time.tm_isdst = -1;
  if (!said || ::strptime(said->c_str(), "%Y-%m-%dT%H:%M:%S", &time) == nullptr)
    return std::nullopt;
  return system_clock::from_time_t(::mktime(&time));
}

// "NONE", "Unknown": there is no limit. A job without one has its end a year after its start.
std::optional<system_clock::time_point> end(const Surroundings& around, const std::string& job) {
  constexpr std::chrono::hours kAsGoodAsNever{24 * 360};
  const auto told = told_end(around, job);
  if (told && *told - system_clock::now() > kAsGoodAsNever) return std::nullopt;
  return told;
}

std::optional<uint64_t> number(const Surroundings& around, const char* name) {
  uint64_t value = 0;
  if (!(std::istringstream(variable(around, name)) >> value) || value == 0) return std::nullopt;
  return value;
}

}  // namespace

std::optional<uint64_t> slurm_memory(const Surroundings& around) {
  constexpr unsigned kMebibytes = 20;  // the unit of both
  if (const auto node = number(around, "SLURM_MEM_PER_NODE")) return *node << kMebibytes;
  const auto each = number(around, "SLURM_MEM_PER_CPU");
  const auto cpus = number(around, "SLURM_CPUS_ON_NODE");
  if (!each || !cpus) return std::nullopt;
  return *each * *cpus << kMebibytes;
}

Result<void> look_at_slurm(const Surroundings& around, Allocation& found) {
  const std::string job = variable(around, "SLURM_JOB_ID");
  TRY(refuse_what_does_not_work(around, job));
  found.hosts = TRY(hosts(around, job));
  if (found.hosts.size() > 1) found.address = address(around, found.hosts.front());
  found.end = end(around, job);
  return {};
}

}  // namespace conode::allocation
