// SPDX-License-Identifier: Apache-2.0
#include "agent/job/cleanup.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "agent/base/file.h"
#include "agent/sandbox/sandbox.h"
#include "cgroup/job_cgroups.h"

namespace conode::job {
namespace {

struct Found {
  int pid = 0;
  std::string name;
};

std::set<int> own_ancestors() {
  std::set<int> pids;
  int pid = ::getpid();
  while (pid > 1 && pids.insert(pid).second) {
    const std::string stat = read_file(fmt::format("/proc/{}/stat", pid)).value_or("");
    const size_t behind_name = stat.rfind(')');
    if (behind_name == std::string::npos) break;
    const char* parent = stat.data() + std::min(stat.size(), behind_name + 4);  // ") S 123"
    if (std::from_chars(parent, stat.data() + stat.size(), pid).ec != std::errc()) break;
  }
  return pids;
}

bool has_marker(const std::string& pid, const std::string& marker) {
  const Result<std::string> environment = read_file("/proc/" + pid + "/environ");
  if (!environment) return false;  // another user's, or gone
  for (size_t at = 0; (at = environment->find(marker, at)) != std::string::npos; ++at) {
    const size_t end = at + marker.size();
    if ((at == 0 || (*environment)[at - 1] == '\0') &&
        (end == environment->size() || (*environment)[end] == '\0'))
      return true;
  }
  return false;
}

// Processes of ours that carry the job's marker, without the caller and its ancestors.
Result<std::vector<Found>> marked_processes(const std::string& instance) {
  const std::string marker = fmt::format("{}={}", kPartVariable, instance);
  const std::set<int> spared = own_ancestors();
  std::vector<Found> found;
  const std::vector<std::string> names = TRY_AS("look for processes", list_dir("/proc"));
  for (const std::string& name : names) {
    int pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr !=
        name.data() + name.size())
      continue;
    if (spared.contains(pid) || !has_marker(name, marker)) continue;
    std::string comm = read_file("/proc/" + name + "/comm").value_or("?\n");
    comm.pop_back();
    found.push_back({pid, comm});
  }
  return found;
}

// Sends `signal` to all and waits until they have ended, at most `patience`.
void signal_and_wait(const std::vector<Found>& processes, int signal,
                     std::chrono::milliseconds patience) {
  std::vector<UniqueFd> pidfds;
  for (const Found& process : processes) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
    if (!fd) continue;
    (void)::syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0);
    pidfds.push_back(std::move(fd));
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (const UniqueFd& fd : pidfds) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd poll_fd{fd.get(), POLLIN, 0};
    (void)::poll(&poll_fd, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
  }
}

bool init_alive(const Instance& instance) {
  return instance.init_pid > 0 && process_start_time(instance.init_pid) == instance.init_start_time;
}

Result<void> end_sandbox(const Instance& instance) {
  if (!init_alive(instance)) return {};
  const UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, instance.init_pid, 0)));
  // Between the check and the open the pid could have been reused: check again under the pidfd.
  if (!fd || !init_alive(instance)) return {};
  if (::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH)
    return errno_failure(fmt::format("end the sandbox (process {})", instance.init_pid));
  constexpr int kPatience = 10000;  // ms; the kernel ends a PID namespace in about 100
  pollfd poll_fd{fd.get(), POLLIN, 0};
  if (::poll(&poll_fd, 1, kPatience) != 1)
    return failure(fmt::format("end the sandbox: process {} does not end", instance.init_pid));
  return {};
}

// All that does not say whose it is. May take long: images are thousands of files.
Result<void> remove_content(const std::string& path, const std::string& libexec_dir) {
  for (const std::string& name : TRY(list_dir(path))) {
    if (says_whose(name)) continue;
    const std::string child = fmt::format("{}/{}", path, name);
    if (remove_tree(child)) continue;
    // Subordinate ids own something in it.
    TRY(sandbox::remove_as_namespace_root(child, libexec_dir, TRY(id_map_of_user())));
  }
  return {};
}

// Nobody may start a job in a directory that is going: the job's own lock is the caller's and goes
// last, with the base locked for that moment.
Result<void> remove_state(const std::string& path, const std::string& libexec_dir) {
  if (!exists(path)) return {};
  TRY(remove_content(path, libexec_dir));
  const UniqueFd base_lock = TRY(lock_base(path.substr(0, path.rfind('/'))));
  return remove_tree(path);
}

}  // namespace

Result<int> end_hpc_processes(const Instance& instance, std::chrono::milliseconds grace) {
  constexpr std::chrono::milliseconds kAfterKill{5000};
  std::vector<Found> left = TRY(marked_processes(instance.instance));
  const int count = static_cast<int>(left.size());
  if (count == 0) return 0;
  signal_and_wait(left, SIGTERM, grace);
  // New ones may have been started meanwhile; SIGKILL until none is found.
  for (int round = 0; round < 10; ++round) {
    left = TRY(marked_processes(instance.instance));
    if (left.empty()) return count;
    signal_and_wait(left, SIGKILL, kAfterKill);
  }
  return failure(fmt::format("end the processes of the HPC part: process {} '{}' does not end",
                             left.front().pid, left.front().name));
}

Result<void> remove_job(const FoundJob& job, const std::string& libexec_dir,
                        std::chrono::milliseconds grace) {
  const auto step = [&](const char* what) {
    return fmt::format("remove job '{}': {}", job.job, what);
  };
  // What one step cannot remove is no reason to leave the rest.
  Result<void> outcome;
  const auto note = [&](const char* what, const auto& done) {
    if (!done && outcome) outcome = tl::make_unexpected(Error(done.error()).wrap(step(what)));
  };
  if (job.instance) {
    note("HPC part", end_hpc_processes(*job.instance, grace));
    note("sandbox", end_sandbox(*job.instance));
    if (!job.instance->cgroup.empty()) note("cgroups", remove_job_cgroups(job.instance->cgroup));
  }
  // While something of it lives, its record stays: a later sweep goes on from there.
  if (outcome)
    note("state", remove_state(job.path, libexec_dir));
  else if (exists(job.path))
    note("content", remove_content(job.path, libexec_dir));
  return outcome;
}

std::vector<std::string> audit(const FoundJob& job) {
  std::vector<std::string> left;
  if (exists(job.path)) left.push_back(fmt::format("state directory '{}'", job.path));
  if (!job.instance) return left;
  const Result<std::vector<Found>> processes = marked_processes(job.instance->instance);
  if (!processes) left.push_back(processes.error().message());
  for (const Found& p : processes.value_or(std::vector<Found>{}))
    left.push_back(fmt::format("process {} '{}' of the HPC part", p.pid, p.name));
  if (init_alive(*job.instance))
    left.push_back(fmt::format("process {}, the sandbox's init", job.instance->init_pid));
  if (!job.instance->cgroup.empty() && exists(job.instance->cgroup))
    left.push_back(fmt::format("cgroup '{}'", job.instance->cgroup));
  return left;
}

namespace {

// "job.n3"
bool is_node_of(const std::string& name, const std::string& job) {
  const std::string prefix = job + ".n";
  return name.size() > prefix.size() && name.starts_with(prefix) &&
         name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
}

}  // namespace

void wait_for_agent(const FoundJob& job) {
  constexpr int kPatience = 20000;  // ms
  if (!job.alive || !job.instance) return;
  const UniqueFd agent(static_cast<int>(::syscall(SYS_pidfd_open, job.instance->pid, 0)));
  pollfd ended{agent.get(), POLLIN, 0};
  if (agent) (void)::poll(&ended, 1, kPatience);
}

std::vector<std::string> end_nodes_of(const std::string& base, const std::string& job,
                                      const std::string& libexec_dir) {
  std::vector<std::string> left;
  const Result<std::vector<FoundJob>> found = find_jobs(base);
  if (!found) return {found.error().message()};
  for (const FoundJob& node : *found) {
    if (!is_node_of(node.job, job)) continue;
    wait_for_agent(node);
    const Result<SweepReport> swept = sweep(base, libexec_dir, node.job);
    if (!swept) left.push_back(swept.error().message());
    for (const std::string& line : audit(node))
      left.push_back(fmt::format("'{}': {}", node.job, line));
  }
  return left;
}

Result<SweepReport> sweep(const std::string& base, const std::string& libexec_dir,
                          const std::string& only) {
  constexpr std::chrono::milliseconds kGrace{1000};
  SweepReport report;
  for (const FoundJob& job : TRY(find_jobs(base))) {
    if (!only.empty() && job.job != only) continue;
    const Result<std::optional<DeadJob>> dead = take_dead(base, job.job);
    if (!dead) {
      report.failures.push_back(dead.error());
      continue;
    }
    if (!*dead) {
      if (exists(job.path)) report.alive.push_back(job.job);
      continue;
    }
    if (Result<void> removed = remove_job((*dead)->found, libexec_dir, kGrace); removed)
      report.removed.push_back(job.job);
    else
      report.failures.push_back(std::move(removed).error());
  }
  return report;
}

}  // namespace conode::job
