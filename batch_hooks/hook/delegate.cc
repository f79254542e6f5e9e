// SPDX-License-Identifier: Apache-2.0
// conode-hook delegate, conode-hook cleanup: the part of a job's cgroup that its user may have.
#include <fmt/format.h>
#include <syslog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "batch_hooks/hook/job_cgroup.h"
#include "batch_hooks/hook/job_user.h"
#include "batch_hooks/hook/record.h"
#include "batch_hooks/hook/sweep_as_user.h"
#include "batch_hooks/hook/verbs.h"
#include "cgroup/delegation.h"
#include "netplug/vxlan/job_vxlan.h"

namespace conode::hook {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kPatience{5000};
constexpr unsigned kLongest = 30;  // seconds

struct Arguments {
  std::string job;
  uid_t user = 0;
  gid_t group = 0;
  pid_t pid = 0;
  std::vector<std::string> names;  // of the job's cgroup, besides Slurm's own
  std::string make_in;             // empty: the batch system makes the job's cgroup
  std::string directory = kHookDirectory;
  unsigned longest = kLongest;
  bool dry_run = false;
};

// Batch systems keep what hooks print; the journal keeps it, too.
void say(int priority, const std::string& line) {
  (void)std::fprintf(stderr, "conode-hook: %s\n", line.c_str());
  ::syslog(priority, "%s", line.c_str());
}

std::vector<std::string> names_of(const Arguments& given) {
  std::vector<std::string> names{"job_" + given.job};
  names.insert(names.end(), given.names.begin(), given.names.end());
  if (!given.make_in.empty()) names.push_back(given.job);  // as PBS Pro calls one
  return names;
}

Result<void> check(const Arguments& given) {
  if (!is_job_id(given.job)) return failure("--job: that is no job id");
  for (const std::string& name : given.names)
    if (!is_sluid(name)) return failure("--cgroup-name: that is no SLUID of Slurm's");
  return {};
}

Result<CgroupHierarchy> hierarchy() {
  const std::optional<CgroupHierarchy> found = TRY(find_hierarchy());
  if (!found)
    return failure("there is no cgroup v2 hierarchy on this host",
                   "boot it with systemd.unified_cgroup_hierarchy=1");
  return *found;
}

// The batch system's; else, where that is wanted, one that we make.
Result<JobCgroup> job_cgroup(const Arguments& given) {
  const CgroupHierarchy found = TRY(hierarchy());
  const std::vector<std::string> names = names_of(given);
  Result<JobCgroup> job = find_job_cgroup(found, given.pid, names);
  if (job || given.make_in.empty()) return job;
  return own_job_cgroup(found, given.make_in, names.front());
}

Result<void> run_delegate(const Arguments& given) {
  TRY(check(given));
  TRY(check_job_user(given.user, given.group));
  ::alarm(given.longest);
  const std::string what = fmt::format("delegate for job '{}'", given.job);
  const JobCgroup job = TRY_AS(what, job_cgroup(given));
  const Delegate wanted{job, given.user};
  if (given.dry_run) {
    (void)std::fputs(describe(wanted).c_str(), stdout);
    return {};
  }
  const HookDirectory hooks = TRY_AS(what, HookDirectory::open(given.directory));
  // First: what is made is found again, whenever we are killed.
  TRY_AS(what, write_record(hooks, {given.job, job.path, given.user, given.group}));
  if (is_own_job(job.path)) TRY_AS(what, put_into_own(job, given.pid));
  const Delegated done = TRY_AS(what, delegate(wanted));
  for (const Error& error : done.refused) say(LOG_WARNING, error.message());
  say(LOG_INFO, fmt::format("job {}: {} {}/{} of user {}", given.job,
                            done.made ? "made" : "there is", job.path, kDelegatedName, given.user));
  return {};
}

// What is wrong is told, and the rest is done.
void note(const Result<void>& done) {
  if (!done) say(LOG_ERR, done.error().message());
}

std::string text_of(const Usage& usage) {
  std::string text = fmt::format("{:.3f} s of CPU", static_cast<double>(usage.cpu.count()) / 1e6);
  if (usage.memory_peak)
    text += fmt::format(", at most {} MiB of memory", *usage.memory_peak >> 20U);
  return text;
}

// Without the lock: while those who were killed are waited for, other jobs' hooks go on.
Result<void> end_cgroup(const std::string& job, const std::string& path, milliseconds patience) {
  const std::optional<Usage> usage =
      TRY_AS(fmt::format("clean up after job '{}'", job), take_back(path, patience));
  if (usage) say(LOG_INFO, fmt::format("job {}: conode used {}", job, text_of(*usage)));
  return {};
}

// By the record, and where that is gone by where we are: an Epilog in the job's own cgroup.
std::string cgroup_of_job(const Arguments& given, const std::optional<Record>& record) {
  if (record) return record->cgroup;
  const Result<CgroupHierarchy> found = hierarchy();
  if (!found) return {};
  const Result<JobCgroup> job = find_job_cgroup(*found, given.pid, names_of(given));
  return job ? job->path : std::string();
}

// Of jobs whose directory the batch system has removed, or emptied and forgotten. With the lock, so
// that no `delegate` is at work on them; nobody is in them, so there is nobody to wait for. Their
// names: what else they have goes when the lock is free.
std::vector<std::string> end_stale(const HookDirectory& hooks, const std::string& but) {
  std::vector<std::string> ended;
  const Result<std::vector<Record>> records = all_records(hooks);
  for (const Record& record : records ? *records : std::vector<Record>{}) {
    if (record.job == but) continue;
    const Result<Cgroup> job = Cgroup::open(record.cgroup);
    if (job && job->populated().value_or(true)) continue;
    const Result<void> gone = end_cgroup(record.job, record.cgroup, milliseconds::zero());
    note(gone);
    if (!gone) continue;
    note(remove_record(hooks, record.job));
    ended.push_back(record.job);
  }
  return ended;
}

Result<std::vector<std::string>> forget(const Arguments& given, bool ended) {
  const HookDirectory hooks = TRY(HookDirectory::open(given.directory));
  if (ended) TRY(remove_record(hooks, given.job));
  return end_stale(hooks, given.job);
}

std::optional<Record> record_of(const Arguments& given) {
  if (!exists(given.directory)) return std::nullopt;
  const Result<HookDirectory> hooks = HookDirectory::open(given.directory);
  if (!hooks) return note(tl::make_unexpected(hooks.error())), std::nullopt;
  Result<std::optional<Record>> read = read_record(*hooks, given.job);
  if (!read) return note(tl::make_unexpected(read.error())), std::nullopt;
  return std::move(*read);
}

void remove_vxlan_of(const Arguments& given, const std::string& job) {
  if (const Result<VxlanOutcome> gone = remove_vxlan(given.directory, job); !gone)
    say(LOG_ERR, gone.error().message());
}

void sweep(const std::string& conode, const std::string& job, uid_t user, gid_t group) {
  const Result<SweepOutcome> swept = sweep_as_user(conode, job, user, group, kPatience);
  if (!swept) say(LOG_ERR, swept.error().message());
  if (swept && !swept->said.empty()) say(LOG_INFO, swept->said);
}

struct CleanUp {
  std::string cgroup;  // empty: not known
  uid_t user = 0;      // 0: not known
  gid_t group = 0;
  std::string conode;  // the program beside this one
};

Result<CleanUp> plan_of(const Arguments& given) {
  const std::optional<Record> record = record_of(given);
  const std::string program = TRY(own_program());
  return CleanUp{.cgroup = cgroup_of_job(given, record),
                 .user = record ? record->user : given.user,
                 .group = record ? record->group : given.group,
                 .conode = program.substr(0, program.rfind("/libexec/")) + "/bin/conode"};
}

void print(const Arguments& given, const CleanUp& plan) {
  if (!plan.cgroup.empty())
    std::printf("kill who is in %s/%s, remove it, and %s if it is empty\n", plan.cgroup.c_str(),
                kDelegatedName, plan.cgroup.c_str());
  std::printf("remove what is in %s/%s, with its VXLAN\n", given.directory.c_str(),
              given.job.c_str());
  if (plan.user != 0)
    std::printf("as user %u: %s sweep --job=%s\n", plan.user, plan.conode.c_str(),
                given.job.c_str());
}

Result<void> run_cleanup(const Arguments& given) {
  ::alarm(given.longest);
  const CleanUp plan = TRY(plan_of(given));
  if (given.dry_run) return print(given, plan), Result<void>();
  const Result<void> gone =
      plan.cgroup.empty() ? Result<void>() : end_cgroup(given.job, plan.cgroup, kPatience);
  note(gone);
  const Result<std::vector<std::string>> stale = forget(given, gone && !plan.cgroup.empty());
  if (!stale) note(tl::make_unexpected(stale.error()));
  remove_vxlan_of(given, given.job);
  for (const std::string& job : stale ? *stale : std::vector<std::string>{})
    remove_vxlan_of(given, job);
  if (plan.user != 0 && exists(plan.conode)) sweep(plan.conode, given.job, plan.user, plan.group);
  return {};
}

// The batch system takes a node out of service where an epilogue fails: what could not be cleaned
// up is told, and a reason for nobody else's job to wait.
Result<void> cleanup(const Arguments& given) {
  TRY(check(given));
  note(run_cleanup(given));
  return {};
}

void add_common(CLI::App& app, Arguments& given) {
  app.add_option("--job", given.job, "the batch system's id of the job")->required();
  app.add_option("--pid", given.pid, "a process of the job; by default the caller");
  app.add_option("--cgroup-name", given.names,
                 "the job's SLUID: the name of its cgroup where that is not job_ID (Slurm 26.05)");
  app.add_option("--run-dir", given.directory, "where hooks keep what belongs to jobs")
      ->capture_default_str();
  app.add_option("--time-limit", given.longest, "seconds, then this program ends")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--dry-run", given.dry_run, "say what would be done");
}

}  // namespace

void add_delegate(CLI::App& app, Run& run) {
  const auto given = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("delegate", "give a part of the job's cgroup to its user");
  add_common(*verb, *given);
  verb->add_option("--uid", given->user, "of the job's user")->required();
  verb->add_option("--gid", given->group, "of the job's user, for cleanup")->required();
  verb->add_option(
          "--make-in", given->make_in,
          "where the batch system makes no cgroup for a job: make one in this cgroup, \"/\" "
          "for the uppermost, and move --pid there")
      ->needs("--pid");
  verb->callback([given, &run] { run = [given] { return run_delegate(*given); }; });
}

void add_cleanup(CLI::App& app, Run& run) {
  const auto given = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("cleanup", "after the job: what it has left on this host");
  add_common(*verb, *given);
  verb->add_option("--uid", given->user, "of the job's user, where nothing was delegated");
  verb->add_option("--gid", given->group, "of the job's user, where nothing was delegated");
  verb->callback([given, &run] { run = [given] { return cleanup(*given); }; });
}

}  // namespace conode::hook
