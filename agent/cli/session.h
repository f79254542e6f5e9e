// SPDX-License-Identifier: Apache-2.0
// What all verbs share: the configuration, the choice of the job, how results and errors are told.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/job/job_dir.h"

namespace CLI {
class App;
}

namespace conode::cli {

// Exit codes (sysexits(3) has no better words for these; 125 to 127 are env(1)'s and docker's).
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kOwnFailure = 125;  // exec, run, shell: conode failed, not the command

struct Session {
  config::FlagValues flags;  // of the verb that was called
  std::string config_file;
  bool json = false;
  int exit_code = 0;  // set by the verb's callback

  // The effective configuration; prints every problem and returns false otherwise.
  [[nodiscard]] bool load(config::Config* config);
  // As load, for what only has to find a job: false only where it cannot know which. How a job is
  // looked at or ended does not depend on a line about its cores.
  [[nodiscard]] bool load_for_job(config::Config* config);

 private:
  [[nodiscard]] bool load_where(config::Config* config,
                                const std::function<bool(const config::Problem&)>& matters);
};

// Prints "conode: <message>" and the remedy (or one JSON line) to standard error; returns `code`.
int report(const Session& session, const Error& error, int code = kFailed);

// Writes `text` where somebody may no longer listen: that is no reason to end a job (fmt::print
// throws).
void tell(std::FILE* stream, const std::string& text);

// Where this user's jobs are.
[[nodiscard]] std::string state_base(const config::Config& config);

// The directory of conode-init, conode-oci, conode-cni: ../libexec/conode of this program.
[[nodiscard]] Result<std::string> libexec_dir();

// The job that is meant: the one named, else the one of $CONODE_JOB, else of the batch system,
// else the only one there is.
[[nodiscard]] Result<job::FoundJob> chosen_job(const config::Config& config);

// As chosen_job, and its agent must live.
[[nodiscard]] Result<job::FoundJob> running_job(const config::Config& config);
// Where the first node is another host's, as in a task of srun there: the job's node on this one.
[[nodiscard]] Result<job::FoundJob> running_job_here(const config::Config& config);

// Adds --json to a verb.
void add_json_flag(CLI::App& verb, Session& session);

// Name of the batch job we are in; empty: none.
[[nodiscard]] std::string batch_job_name();

}  // namespace conode::cli
