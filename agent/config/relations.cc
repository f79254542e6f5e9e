// SPDX-License-Identifier: Apache-2.0
#include "agent/config/relations.h"

#include <fmt/format.h>

#include "agent/config/units.h"
#include "agent/config/value.h"

namespace conode::config {
namespace {

using Sources = std::map<std::string, std::string>;

std::string source_of(const Sources& sources, const std::string& key) {
  const auto found = sources.find(key);
  return found == sources.end() ? "default" : found->second;
}

struct NamedPrefix {
  std::string key;
  std::string text;
};

// The stronger of two overlapping prefixes is told: the default can hardly be wrong.
void check_overlap(const NamedPrefix& a, const NamedPrefix& b, const Sources& sources,
                   std::vector<Problem>* problems) {
  const auto first = parse_prefix(a.text);
  const auto second = parse_prefix(b.text);
  if (!first || !second || !first->overlaps(*second)) return;
  const bool swap = !sources.contains(b.key) && sources.contains(a.key);
  const NamedPrefix& told = swap ? a : b;
  const NamedPrefix& other = swap ? b : a;
  problems->push_back(
      {told.key, told.text,
       fmt::format("overlaps {} '{}' ({})", other.key, other.text, source_of(sources, other.key)),
       source_of(sources, told.key), "choose prefixes that have no address in common"});
}

}  // namespace

std::vector<Problem> relation_problems(const Config& config, const Sources& sources) {
  std::vector<Problem> problems;
  const NamedPrefix nodes{"network.node_prefix", config.network().node_prefix()};
  const NamedPrefix pods{"network.pod_prefix", config.network().pod_prefix()};
  const NamedPrefix services{"network.service_prefix", config.network().service_prefix()};
  check_overlap(nodes, pods, sources, &problems);
  check_overlap(nodes, services, sources, &problems);
  check_overlap(pods, services, sources, &problems);
  return problems;
}

std::vector<Problem> validate(const Config& config) {
  std::vector<Problem> problems;
  Config scratch;
  for (const Key& key : all_keys()) {
    if (!key.is_set(config)) continue;
    for (const std::string& text : value_texts(config, key))
      if (const Result<void> done = set_value(scratch, key, text); !done)
        problems.push_back({key.path, text, done.error().context, "message", done.error().remedy});
  }
  for (Problem& problem : relation_problems(config, {})) {
    problem.where = "message";
    problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace conode::config
