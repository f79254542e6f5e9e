// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "agent/allocation/allocation.h"
#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/base/process.h"

namespace conode::cli {
namespace {

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

bool Session::load_where(config::Config* config,
                         const std::function<bool(const config::Problem&)>& matters) {
  config::LoadResult loaded = config::load(flags, config_file);
  bool usable = true;
  for (const config::Problem& problem : loaded.problems) {
    report(*this, Error{{}, config::to_string(problem), problem.remedy});
    if (matters(problem)) usable = false;
  }
  if (!usable) exit_code = kUsage;
  *config = std::move(loaded.config);
  log::set_level(static_cast<log::Level>(config->log().level()));
  return usable;
}

bool Session::load(config::Config* config) {
  return load_where(config, [](const config::Problem& /*any*/) { return true; });
}

bool Session::load_for_job(config::Config* config) {
  return load_where(config, [](const config::Problem& problem) {
    return problem.key.empty() || problem.key == "job" || problem.key == "state_dir";
  });
}

int report(const Session& session, const Error& error, int code) {
  if (session.json) {
    const nlohmann::json line = {{"error", error.message()}, {"remedy", error.remedy}};
    tell(stderr, line.dump() + "\n");
    return code;
  }
  tell(stderr, fmt::format("conode: {}\n", error.message()));
  if (!error.remedy.empty()) tell(stderr, fmt::format("  what to do: {}\n", error.remedy));
  return code;
}

void tell(std::FILE* stream, const std::string& text) {
  (void)std::fputs(text.c_str(), stream);
  (void)std::fflush(stream);
}

std::string state_base(const config::Config& config) {
  if (!config.state_dir().empty()) return config.state_dir();
  const std::string scratch = from_environment("TMPDIR");
  return fmt::format("{}/conode-{}", scratch.empty() ? "/tmp" : scratch, ::getuid());
}

Result<std::string> libexec_dir() {
  std::string dir = TRY(own_program());
  for (int level = 0; level < 2; ++level) dir.resize(dir.rfind('/'));
  dir += "/libexec/conode";
  if (!exists(dir + "/conode-init"))
    return failure(fmt::format("find conode's helpers: '{}/conode-init' is missing", dir),
                   "install conode completely (cmake --install, or the package)");
  return dir;
}

std::string batch_job_name() { return allocation::id_of(allocation::surroundings()); }

namespace {

// Empty: whatever there is.
std::string wanted_job(const config::Config& config) {
  std::string wanted = config.job();
  if (wanted.empty()) wanted = from_environment("CONODE_JOB");
  if (wanted.empty()) wanted = batch_job_name();
  return wanted;
}

}  // namespace

Result<job::FoundJob> chosen_job(const config::Config& config) {
  const std::string base = state_base(config);
  std::vector<job::FoundJob> jobs = TRY(job::find_jobs(base));
  const std::string wanted = wanted_job(config);
  // Nodes of a job besides rank 0 are chosen by their whole name only.
  std::erase_if(jobs, [&](const job::FoundJob& job) {
    return job.instance && job.instance->rank > 0 && job.job != wanted;
  });
  std::string names;
  for (job::FoundJob& job : jobs) {
    if (job.job == wanted || (wanted.empty() && jobs.size() == 1)) return std::move(job);
    names += (names.empty() ? "" : ", ") + job.job;
  }
  if (jobs.empty() || !wanted.empty())
    return failure(wanted.empty() ? fmt::format("find a job: none in '{}'", base)
                                  : fmt::format("find job '{}': not in '{}'", wanted, base),
                   names.empty() ? "start one with 'conode up' or 'conode exec -- COMMAND'"
                                 : fmt::format("there is: {}", names));
  return failure(fmt::format("find a job: {} in '{}'", jobs.size(), base),
                 fmt::format("name one with --job or in CONODE_JOB: {}", names));
}

Result<job::FoundJob> running_job(const config::Config& config) {
  job::FoundJob job = TRY(chosen_job(config));
  if (!job.alive || !job.instance)
    return failure(fmt::format("use job '{}': its agent is gone", job.job),
                   "'conode sweep' removes what it left, 'conode up' starts another");
  return job;
}

Result<job::FoundJob> running_job_here(const config::Config& config) {
  const std::string wanted = wanted_job(config);
  std::vector<job::FoundJob> jobs = TRY(job::find_jobs(state_base(config)));
  const bool first_node = std::any_of(jobs.begin(), jobs.end(),
                                      [&](const job::FoundJob& job) { return job.job == wanted; });
  std::erase_if(jobs, [&](const job::FoundJob& job) {
    return !job.alive || !job.instance || job.instance->rank == 0 ||
           job.job != fmt::format("{}.n{}", wanted, job.instance->rank);
  });
  if (!first_node && jobs.size() == 1) return std::move(jobs.front());
  return running_job(config);
}

void add_json_flag(CLI::App& verb, Session& session) {
  verb.add_flag("--json", session.json, "Print JSON instead of text");
}

}  // namespace conode::cli
