// SPDX-License-Identifier: Apache-2.0
// What the batch system has given: nodes, time, cores, memory, the fabric, and what its hooks have
// made.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "agent/allocation/allocation.h"
#include "agent/base/file.h"
#include "agent/doctor/doctor.h"
#include "cgroup/cgroup.h"
#include "cgroup/limits.h"
#include "netplug/vxlan/settings.h"

namespace conode::doctor {
namespace {

using allocation::Allocation;
using allocation::System;

constexpr std::array<const char*, 4> kSystems{"none", "Slurm", "Flux", "PBS"};

std::string time_left(const Allocation& job) {
  if (!job.end) return "no time limit";
  const auto left =
      std::chrono::duration_cast<std::chrono::minutes>(*job.end - std::chrono::system_clock::now());
  return fmt::format("{} min left", left.count());
}

Finding batch_job(const Result<Allocation>& job) {
  if (!job)
    return {"batch job", Verdict::missing, job.error().message(), "conode does not start in it",
            job.error().remedy};
  if (job->system == System::none)
    return {"batch job", Verdict::ok, "none: this host, and those that --host names", {}, {}};
  constexpr size_t kNamed = 4;
  const size_t named = std::min(kNamed, job->hosts.size());
  std::string nodes =
      job->hosts.empty()
          ? "one node"
          : fmt::format("{} nodes: {}", job->hosts.size(),
                        fmt::join(job->hosts.begin(),
                                  job->hosts.begin() + static_cast<ptrdiff_t>(named), " "));
  if (job->hosts.size() > named) nodes += " ...";
  return {"batch job",
          Verdict::ok,
          fmt::format("{} {}, {}, {}", kSystems.at(static_cast<size_t>(job->system)), job->id,
                      nodes, time_left(*job)),
          {},
          {}};
}

Finding cores_and_memory() {
  cpu_set_t cpus{};
  (void)::sched_getaffinity(0, sizeof cpus, &cpus);
  const Limit limit = own_memory_limit();
  const int count = CPU_COUNT(&cpus);
  const std::string found = fmt::format(
      "{} of {} CPUs, memory {}", count, ::sysconf(_SC_NPROCESSORS_ONLN),
      limit ? fmt::format("up to {} MiB", *limit >> 20U) : std::string("without a limit of ours"));
  if (count >= 2) return {"cores and memory", Verdict::ok, found, {}, {}};
  return {"cores and memory", Verdict::degraded, found, "both parts share a core",
          "ask the batch system for two cores or more"};
}

// As a program started through a session of systemd's is.
Finding job_limits(const Allocation& job) {
  const std::string own = cgroup_of(0).value_or(std::nullopt).value_or("none");
  if (own.find("/user.slice/") == std::string::npos)
    return {"job's limits", Verdict::ok, fmt::format("in cgroup '{}'", own), {}, {}};
  return {
      "job's limits", Verdict::degraded, fmt::format("in cgroup '{}'", own),
      fmt::format("the limits of job {} do not hold here, and its end does not end this", job.id),
      "start conode from the job's script or step, not by ssh or systemd-run"};
}

Finding vxlan(const Allocation& job) {
  const std::string socket = fmt::format("{}/{}/{}", kHookDirectory, job.id, kVxlanSocket);
  if (exists(socket)) return {"VXLAN of the job", Verdict::ok, socket, {}, {}};
  return {"VXLAN of the job", Verdict::degraded, "none: pods of different nodes use the relay",
          "longer round trips, more CPU per packet",
          "install conode's batch hooks, with VXLAN=yes in /etc/conode/hooks.conf"};
}

Finding fabric() {
  const std::vector<std::string> devices =
      list_dir("/sys/class/infiniband").value_or(std::vector<std::string>{});
  if (devices.empty()) return {"fabric", Verdict::ok, "Ethernet: no RDMA device", {}, {}};
  return {"fabric",
          Verdict::ok,
          fmt::format("RDMA {}: MPI's; pods go by the IP interface", fmt::join(devices, " ")),
          {},
          {}};
}

}  // namespace

std::vector<Finding> examine_allocation(const Environment& /*environment*/) {
  const Result<Allocation> job = allocation::find_allocation(allocation::surroundings());
  std::vector<Finding> all{batch_job(job), cores_and_memory(), fabric()};
  if (!job || job->system == System::none) return all;
  all.push_back(job_limits(*job));
  if (job->hosts.size() > 1) all.push_back(vxlan(*job));
  return all;
}

}  // namespace conode::doctor
