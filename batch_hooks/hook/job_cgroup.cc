// SPDX-License-Identifier: Apache-2.0
#include "batch_hooks/hook/job_cgroup.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "agent/base/file.h"
#include "cgroup/delegation.h"

namespace conode::hook {
namespace {

constexpr const char* kFilesToDelegate = "/sys/kernel/cgroup/delegate";
constexpr const char* kTask = "task";  // in a directory of our own making: the job's processes
constexpr std::array<const char*, 5> kControllers{"cpuset", "cpu", "memory", "pids", "io"};

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Before Linux 4.15 it says nothing: these three were it.
std::vector<std::string> files_to_delegate() {
  std::istringstream names(read_file(kFilesToDelegate).value_or(""));
  std::vector<std::string> files;
  for (std::string name; std::getline(names, name);)
    if (!name.empty() && name.find('/') == std::string::npos) files.push_back(name);
  if (files.empty()) files = {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"};
  return files;
}

Result<uid_t> owner_of(const Cgroup& cgroup) {
  struct stat status {};
  if (::fstat(cgroup.fd(), &status) != 0)
    return errno_failure(fmt::format("look at cgroup '{}'", cgroup.path()));
  return status.st_uid;
}

// A child that is there already has to be ours.
Result<Cgroup> make_own_child(const Cgroup& parent, const char* name) {
  (void)TRY(parent.create(name));
  Cgroup child = TRY(parent.open_child(name));
  if (const uid_t owner = TRY(owner_of(child)); owner != ::geteuid())
    return code_failure(EEXIST, fmt::format("make '{}': it is user {}'s", child.path(), owner));
  return child;
}

// What is there and missing for the children, one write each.
Result<void> enable_missing(const Cgroup& cgroup, std::vector<Error>& refused) {
  const std::vector<std::string> here = TRY(cgroup.controllers());
  const std::vector<std::string> enabled = TRY(cgroup.enabled());
  const auto in = [](const std::vector<std::string>& names, const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const char* name : kControllers) {
    if (!in(here, name) || in(enabled, name)) continue;
    EnabledControllers done = TRY(cgroup.enable({name}));
    for (Error& error : done.refused) refused.push_back(std::move(error));
  }
  return {};
}

Result<void> give(const Cgroup& cgroup, uid_t user, const std::vector<std::string>& files) {
  constexpr auto kSameGroup = static_cast<gid_t>(-1);
  for (const std::string& file : files)
    if (::fchownat(cgroup.fd(), file.c_str(), user, kSameGroup, AT_SYMLINK_NOFOLLOW) != 0 &&
        errno != ENOENT)
      return errno_failure(fmt::format("give '{}/{}' to user {}", cgroup.path(), file, user));
  return {};
}

Result<void> give_directory(const Cgroup& cgroup, uid_t user) {
  TRY(give(cgroup, user, files_to_delegate()));
  if (::fchownat(cgroup.fd(), "", user, static_cast<gid_t>(-1), AT_EMPTY_PATH) != 0)
    return errno_failure(fmt::format("give cgroup '{}' to user {}", cgroup.path(), user));
  return {};
}

Usage usage_of(const Cgroup& cgroup) {
  Usage usage;
  std::istringstream cpu(cgroup.read("cpu.stat").value_or(""));
  std::string key;
  for (int64_t value = 0; cpu >> key >> value;)
    if (key == "usage_usec") usage.cpu = std::chrono::microseconds(value);
  uint64_t peak = 0;
  if (const Result<std::string> text = cgroup.read("memory.peak");
      text && (std::istringstream(*text) >> peak))
    usage.memory_peak = peak;
  return usage;
}

// Slurm removes it itself where it can.
Result<void> remove_if_empty(const std::string& path) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT || errno == EBUSY || errno == ENOTEMPTY)
    return {};
  return errno_failure(fmt::format("remove cgroup '{}'", path));
}

// What a slurmstepd that was killed has left: nobody else removes it. The step in which the Epilog
// runs has a live one.
Result<void> remove_ended_steps(const std::string& job_path) {
  const Result<Cgroup> job = Cgroup::open(job_path);
  if (!job) return {};  // gone already
  for (const std::string& name : TRY(job->children())) {
    if (!name.starts_with("step_") || name == "step_extern") continue;
    const Result<Cgroup> step = job->open_child(name);
    if (step && !TRY(step->populated())) TRY(step->remove());
  }
  return {};
}

Result<void> remove_job_directory(const std::string& path) {
  TRY(remove_ended_steps(path));
  TRY(remove_if_empty(path));
  return is_own_job(path) ? remove_if_empty(parent_of(path)) : Result<void>();
}

}  // namespace

bool is_sluid(std::string_view name) {
  constexpr size_t kShortest = 8;
  return name.size() >= kShortest && name.size() <= 2 * kShortest && name.front() == 's' &&
         name.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1) ==
             std::string_view::npos;
}

std::optional<std::string> job_directory(const std::string& cgroup,
                                         const std::vector<std::string>& names) {
  if (!cgroup.starts_with('/')) return std::nullopt;
  for (std::string path = cgroup; path.size() > 1; path = parent_of(path))
    if (std::find(names.begin(), names.end(), path.substr(path.rfind('/') + 1)) != names.end())
      return path;
  return std::nullopt;
}

Result<JobCgroup> find_job_cgroup(const CgroupHierarchy& hierarchy, pid_t pid,
                                  const std::vector<std::string>& names, const std::string& proc) {
  const std::string own = TRY(cgroup_of(pid, proc)).value_or("");
  const std::optional<std::string> job = job_directory(own, names);
  const std::optional<std::string> directory = job ? hierarchy.directory(*job) : std::nullopt;
  if (directory) return JobCgroup{*directory, job->substr(job->rfind('/') + 1)};
  return failure(fmt::format("find the cgroup of job '{}': process {} is in '{}'", names.front(),
                             pid == 0 ? ::getpid() : pid, own),
                 "call it from the job: Slurm's Prolog needs PrologFlags=RunInJob (24.05 and "
                 "later), the SPANK "
                 "plugin does not");
}

bool is_own_job(const std::string& path) {
  return parent_of(path).ends_with(fmt::format("/{}", kOwnJobs));
}

Result<JobCgroup> own_job_cgroup(const CgroupHierarchy& hierarchy, const std::string& parent,
                                 const std::string& name) {
  std::optional<std::string> directory = hierarchy.directory(parent);
  if (!directory || !exists(*directory))
    return failure(fmt::format("make a cgroup for '{}': there is no cgroup '{}'", name, parent));
  if (directory->ends_with('/')) directory->pop_back();
  return JobCgroup{fmt::format("{}/{}/{}", *directory, kOwnJobs, name), name};
}

Result<void> put_into_own(const JobCgroup& job, pid_t pid) {
  const std::string what = fmt::format("move process {} into '{}'", pid, job.path);
  if (pid <= 1) return code_failure(EPERM, what + ": that is no process of a job");
  const Cgroup top = TRY_AS(what, Cgroup::open(parent_of(parent_of(job.path))));
  // What is refused here is missing in `delegate`, too, and told there.
  std::vector<Error> refused;
  TRY_AS(what, enable_missing(top, refused));
  const Cgroup jobs = TRY_AS(what, make_own_child(top, kOwnJobs));
  const Cgroup own = TRY_AS(what, make_own_child(jobs, job.name.c_str()));
  return TRY_AS(what, make_own_child(own, kTask)).attach(pid);
}

std::string describe(const Delegate& wanted) {
  const std::string& job = wanted.job.path;
  std::string text;
  if (is_own_job(job)) text += fmt::format("make {}/{}, and move the process there\n", job, kTask);
  for (const std::string& path : {parent_of(job), job})
    text += fmt::format(
        "enable cpuset cpu memory pids io in {}/cgroup.subtree_control, where they "
        "are and missing\n",
        path);
  text += fmt::format("make {}/{}, at most {} levels and {} directories of it\n", job,
                      kDelegatedName, kMaxDepth, kMaxDescendants);
  text += fmt::format("give {}/cgroup.procs to user {}\n", job, wanted.user);
  text += fmt::format("give {}/{} to user {}, and in it:", job, kDelegatedName, wanted.user);
  for (const std::string& file : files_to_delegate()) text += " " + file;
  return text + "\n";
}

Result<Delegated> delegate(const Delegate& wanted) {
  const Cgroup job = TRY(Cgroup::open(wanted.job.path));
  const std::string what = fmt::format("delegate '{}/{}'", job.path(), kDelegatedName);
  if (TRY(owner_of(job)) != ::geteuid())
    return code_failure(EPERM, what + ": the job's directory is not its caller's own");
  Delegated done;
  TRY_AS(what, enable_missing(TRY(Cgroup::open(parent_of(job.path()))), done.refused));
  TRY_AS(what, enable_missing(job, done.refused));
  done.made = TRY_AS(what, job.create(kDelegatedName));
  const Cgroup given = TRY_AS(what, job.open_child(kDelegatedName));
  const uid_t owner = TRY(owner_of(given));
  if (owner != ::geteuid() && owner != wanted.user)
    return code_failure(EEXIST, fmt::format("{}: it is user {}'s", what, owner));
  TRY_AS(what, given.write("cgroup.max.depth", kMaxDepth));
  TRY_AS(what, given.write("cgroup.max.descendants", kMaxDescendants));
  TRY_AS(what, give_directory(given, wanted.user));
  // The common ancestor of the steps and of this: without it nobody can move from there to here.
  // Nobody can move into it either: it has controllers enabled, so it takes no process.
  TRY_AS(what, give(job, wanted.user, {"cgroup.procs"}));
  return done;
}

Result<std::optional<Usage>> take_back(const std::string& job_path,
                                       std::chrono::milliseconds patience) {
  Result<Cgroup> given =
      Cgroup::open(is_own_job(job_path) ? job_path : job_path + "/" + kDelegatedName);
  if (!given && given.error().is(std::errc::no_such_file_or_directory)) {
    TRY(remove_job_directory(job_path));
    return std::nullopt;
  }
  if (!given) return tl::make_unexpected(std::move(given).error());
  TRY(given->kill());
  if (!TRY(given->wait_empty(patience)))
    return code_failure(
        ETIMEDOUT, fmt::format("wait for the end of who was killed in cgroup '{}'", given->path()));
  const Usage usage = usage_of(*given);
  TRY(given->remove());
  TRY(remove_job_directory(job_path));
  return usage;
}

}  // namespace conode::hook
