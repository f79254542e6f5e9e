// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/srun.h"

#include <fmt/format.h>

#include "agent/base/command.h"
#include "agent/launch/remote.h"
#include "agent/launch/resolve.h"

namespace conode::launch {
namespace {

class Srun final : public Remote {
 public:
  Srun(std::vector<std::string> hosts, std::string address, std::string program, bool slurm_binds)
      : Remote(std::move(hosts), std::move(address), std::move(program)),
        slurm_binds_(slurm_binds) {}

 private:
  [[nodiscard]] std::vector<std::string> over_there(uint32_t rank,
                                                    const std::vector<std::string>& argv,
                                                    const std::string& working_dir) const override;

  bool slurm_binds_;
};

// A step shares the job's resources with all others, and binds nothing: conode does.
std::vector<std::string> Srun::over_there(uint32_t rank, const std::vector<std::string>& argv,
                                          const std::string& working_dir) const {
  std::vector<std::string> step{
      "srun",       "--overlap", "--nodes=1",         "--ntasks=1",
      "--mpi=none", "--quiet",   "--job-name=conode", "--nodelist=" + host(rank)};
  if (slurm_binds_) step.emplace_back("--cpu-bind=none");
  if (!working_dir.empty()) step.push_back("--chdir=" + working_dir);
  step.emplace_back("--");
  step.insert(step.end(), argv.begin(), argv.end());
  return step;
}

// Where it does not, srun complains about --cpu-bind.
bool slurm_binds() {
  const std::string settings = command_output({"scontrol", "show", "config"}).value_or("");
  const size_t at = settings.find("\nTaskPlugin ");
  if (at == std::string::npos) return false;
  return settings.substr(at, settings.find('\n', at + 1) - at).find("affinity") !=
         std::string::npos;
}

}  // namespace

Result<std::unique_ptr<Launcher>> make_srun(const Options& options) {
  if (find_program("srun").empty())
    return failure("start agents by srun: there is no srun here",
                   "put Slurm's commands into PATH, or take --launcher ssh");
  std::string address = options.address;
  if (address.empty()) address = TRY(resolve(options.own_name));
  return std::make_unique<Srun>(options.hosts, std::move(address), TRY(own_program()),
                                slurm_binds());
}

}  // namespace conode::launch
