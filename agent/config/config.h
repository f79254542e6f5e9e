// SPDX-License-Identifier: Apache-2.0
// The configuration: one schema (config.proto) for the file, the flags, the environment and the
// messages between agents. Flags are stronger than the environment, that is stronger than the file,
// and that is stronger than the defaults. Nothing stops at the first mistake: all problems of all
// sources come back as one list. Any thread; the results own what they hold.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.pb.h"

namespace CLI {
class App;
}

namespace conode::config {

struct Problem {
  std::string key;     // "partition.k8s_cores"; empty where it is the file as a whole
  std::string value;   // as the user wrote it
  std::string cause;   // "expected a whole number, 1 to 4096"
  std::string where;   // "/etc/conode/config.yaml:3:14", "environment CONODE_JOB", "flag --job"
  std::string remedy;  // may be empty
};

// "<where>: <key>: '<value>': <cause>", control characters escaped; without the remedy.
[[nodiscard]] std::string to_string(const Problem& problem);

// Flags as given on the command line: key -> values.
struct FlagValues {
  std::map<std::string, std::vector<std::string>> values;
};

// Registers a flag for each key. `names` restricts them: keys ("job", "partition.k8s_cores") or
// sections ("partition"). `values` is filled while `app` parses and must outlive it; it may be
// shared by several subcommands. Values are checked by load(), so that all problems are told at
// once.
void add_flags(CLI::App& app, FlagValues& values, const std::vector<std::string>& names = {});

// What load() reads besides the flags; a value, so that tests need no real environment.
struct Environment {
  std::map<std::string, std::string> variables;
  std::string working_dir;  // relative paths of flags and environment start here
  std::string system_file = "/etc/conode/config.yaml";
};
// This process's. Not while another thread calls setenv(3).
[[nodiscard]] Environment process_environment();

struct LoadResult {
  Config config;                               // usable where `problems` is empty
  std::vector<Problem> problems;               // in the order file, environment, flags, relations
  std::map<std::string, std::string> sources;  // key -> where its value came from; absent: default
  std::string file;                            // the one that was read; empty: none
};

// The effective configuration. The file is `file` (--config), else $CONODE_CONFIG, else
// ${XDG_CONFIG_HOME:-~/.config}/conode/config.yaml, else /etc/conode/config.yaml: the first that
// exists, and the first two must exist. Variables that are set to nothing count as unset.
[[nodiscard]] LoadResult load(const FlagValues& flags, const std::string& file = {},
                              const Environment& environment = process_environment());

// The same for the text of a file: what --check and tests need. Relative paths start at the
// directory of `name`.
[[nodiscard]] LoadResult load_text(std::string_view yaml, const std::string& name,
                                   const Environment& environment);

// All that is wrong with a configuration from elsewhere (another agent): bounds of every key and
// the relations between keys.
[[nodiscard]] std::vector<Problem> validate(const Config& config);

// The effective configuration as a file that load() reads back to the same, with the source of each
// value as a comment.
[[nodiscard]] std::string to_yaml(const LoadResult& loaded);

// docs/configuration.md.
[[nodiscard]] std::string reference_markdown();

// Durations are milliseconds on the wire and std::chrono in the program.
[[nodiscard]] inline std::chrono::milliseconds ready_timeout(const Config& config) {
  return std::chrono::milliseconds(config.timeouts().ready());
}
[[nodiscard]] inline std::chrono::milliseconds stop_timeout(const Config& config) {
  return std::chrono::milliseconds(config.timeouts().stop());
}
[[nodiscard]] inline std::chrono::milliseconds before_limit(const Config& config) {
  return std::chrono::milliseconds(config.timeouts().before_limit());
}
[[nodiscard]] inline std::chrono::milliseconds node_timeout(const Config& config) {
  return std::chrono::milliseconds(config.allocation().node_timeout());
}

// "auto", "controllers", "grouped", "affinity".
[[nodiscard]] std::string level_name(Enforcement::Level level);

}  // namespace conode::config
