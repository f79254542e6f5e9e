// SPDX-License-Identifier: Apache-2.0
#include "agent/job/hpc_part.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/job/cleanup.h"
#include "agent/topology/cpu_set.h"

namespace conode::job {
namespace {

std::string hexadecimal_mask(const CpuSet& cpus) {
  std::string digits;
  const cpu_set_t mask = cpus.to_cpu_set();
  for (int nibble = CPU_SETSIZE / 4 - 1; nibble >= 0; --nibble) {
    unsigned value = 0;
    for (int bit = 0; bit < 4; ++bit)
      if (CPU_ISSET(static_cast<size_t>(nibble * 4 + bit), &mask)) value |= 1U << bit;
    if (value != 0 || !digits.empty()) digits += fmt::format("{:x}", value);
  }
  return "0x" + (digits.empty() ? "0" : digits);
}

// How Open MPI (4: OMPI, from 5 on: PRTE) finds the other nodes and gets onto them.
void add_nodes(std::map<std::string, std::string>& env, const std::string& state_dir,
               bool shared_machine) {
  const std::string hosts = state_dir + kHostFile;
  if (!exists(hosts)) return;
  const Result<std::string> program = own_program();
  if (!program) return;
  const std::string launcher = *program + " rsh";
  env["OMPI_MCA_orte_default_hostfile"] = env["PRTE_MCA_prte_default_hostfile"] = hosts;
  env["OMPI_MCA_plm_rsh_agent"] = env["PRTE_MCA_plm_ssh_agent"] = launcher;
  // Open MPI cannot see that its hosts share cores: ranks that wait would keep others from working.
  if (shared_machine) env["OMPI_MCA_mpi_yield_when_idle"] = "1";
}

}  // namespace

std::string kubectl_cache(const std::string& state_dir) { return state_dir + "/tmp/kubectl"; }

std::map<std::string, std::string> part_environment(const Instance& instance,
                                                    const std::string& state_dir) {
  std::map<std::string, std::string> env{
      {"CONODE_JOB", instance.job},
      {"CONODE_STATE_DIR", state_dir.substr(0, state_dir.rfind('/'))},
      {"CONODE_JOB_HPC_CPUS", instance.hpc_cpus},
      {"CONODE_JOB_K8S_CPUS", instance.k8s_cpus},
      {"CONODE_JOB_BUNDLE", instance.bundle}};
  if (instance.rank == 0) {
    env["KUBECONFIG"] = state_dir + "/kubeconfig";
    env["KUBECACHEDIR"] = kubectl_cache(state_dir);
  }
  add_nodes(env, state_dir, instance.shared_machine);
  const Result<CpuSet> cpus = CpuSet::parse(instance.hpc_cpus);
  if (!cpus || instance.hpc_cpus.empty()) return env;
  const std::string xml = state_dir + "/hwloc-hpc.xml";
  if (exists(xml)) {
    // hwloc, and with it Open MPI, MPICH and Flux, sees the part instead of the machine.
    env["HWLOC_XMLFILE"] = xml;
    env["HWLOC_THISSYSTEM"] = "1";
    env["FLUX_HWLOC_XMLFILE"] = xml;
  }
  // srun's own binding, kept inside (srun(1), SLURM_CPU_BIND).
  env["SLURM_CPU_BIND"] = "mask_cpu:" + hexadecimal_mask(*cpus);
  return env;
}

Result<void> enter_hpc_part(const Instance& instance, const std::string& state_dir) {
  if (!instance.hpc_cpus.empty()) {
    const CpuSet cpus = TRY_AS("enter the HPC part", CpuSet::parse(instance.hpc_cpus));
    if (!instance.cgroup.empty())
      TRY_AS("enter the HPC part",
             write_value(instance.cgroup + "/hpc/cgroup.procs", std::to_string(::getpid())));
    const cpu_set_t mask = cpus.to_cpu_set();
    if (::sched_setaffinity(0, sizeof mask, &mask) != 0)
      return errno_failure(fmt::format("enter the HPC part: bind to CPUs {}", instance.hpc_cpus));
  } else {
    return failure("enter the HPC part: Kubernetes has all cores of this job",
                   "give it fewer with --k8s-cores or --k8s-share");
  }
  for (const auto& [name, value] : part_environment(instance, state_dir))
    ::setenv(name.c_str(), value.c_str(), 1);
  ::setenv(kPartVariable, instance.instance.c_str(), 1);
  return {};
}

}  // namespace conode::job
