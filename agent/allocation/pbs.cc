// SPDX-License-Identifier: Apache-2.0
#include "agent/allocation/pbs.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace conode::allocation {
namespace {

using std::chrono::seconds;

// "node17" of "node17.cluster.site"
std::string label(const std::string& host) { return host.substr(0, host.find('.')); }

// A line for each process that was asked for, in the order of the job's chunks.
std::vector<std::string> hosts_in(const std::string& nodefile) {
  std::vector<std::string> hosts;
  std::istringstream lines(nodefile);
  for (std::string line; lines >> line;)
    if (std::find(hosts.begin(), hosts.end(), line) == hosts.end()) hosts.push_back(line);
  return hosts;
}

// Ours first.
Result<std::vector<std::string>> hosts(const Surroundings& around, const std::string& job) {
  const std::string file = variable(around, "PBS_NODEFILE");
  if (file.empty()) return std::vector<std::string>{};
  const std::string what = fmt::format("find the nodes of PBS job {}", job);
  std::vector<std::string> all = hosts_in(TRY_AS(what, around.read(file)));
  const auto ours = std::find_if(all.begin(), all.end(), [&](const std::string& host) {
    return label(host) == label(around.host_name);
  });
  if (ours == all.end())
    return failure(
        fmt::format("use PBS job {}: host '{}' is none of its nodes", job, around.host_name),
        "call conode in the job's script");
  std::rotate(all.begin(), ours, all.end());
  return all;
}

// What it was given, without what it has used.
std::optional<seconds> time_left(const std::string& status, const std::string& job) {
  const nlohmann::json document = nlohmann::json::parse(status, nullptr, false);
  const nlohmann::json::json_pointer at("/Jobs");
  if (!document.is_object() || !document.contains(at) || !document[at].contains(job))
    return std::nullopt;
  const auto walltime = [&](const char* list) -> std::optional<seconds> {
    const nlohmann::json::json_pointer of(fmt::format("/{}/walltime", list));
    const nlohmann::json& attributes = document[at][job];
    if (!attributes.contains(of) || !attributes[of].is_string()) return std::nullopt;
    return parse_pbs_duration(attributes[of].get<std::string>());
  };
  const std::optional<seconds> given = walltime("Resource_List");
  if (!given) return std::nullopt;
  return *given - walltime("resources_used").value_or(seconds{0});
}

std::optional<std::chrono::system_clock::time_point> end(const Surroundings& around,
                                                         const std::string& job) {
  const Result<std::string> status = around.ask({"qstat", "-f", "-F", "json", job});
  const std::optional<seconds> left = status ? time_left(*status, job) : std::nullopt;
  if (!left) return std::nullopt;
  return std::chrono::system_clock::now() + *left;
}

}  // namespace

std::optional<seconds> parse_pbs_duration(const std::string& text) {
  constexpr int kBase = 60;
  std::istringstream stream(text);
  int64_t total = 0;
  int fields = 0;
  for (int64_t field = 0; stream >> field; ++fields) {
    total = total * kBase + field;
    if (stream.peek() == ':') stream.get();
  }
  if (fields == 0 || fields > 3 || !stream.eof()) return std::nullopt;
  return seconds{total};
}

Result<void> look_at_pbs(const Surroundings& around, Allocation& found) {
  const std::string job = variable(around, "PBS_JOBID");
  found.hosts = TRY(hosts(around, job));
  found.end = end(around, job);
  return {};
}

}  // namespace conode::allocation
