// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/srun.h"

#include <fmt/format.h>

#include "agent/base/command.h"
#include "agent/launch/resolve.h"
#include "agent/launch/ticket_file.h"

namespace conode::launch {
namespace {

class Srun final : public Launcher {
 public:
  Srun(std::vector<std::string> hosts, std::string address, std::string program, bool slurm_binds)
      : hosts_(std::move(hosts)),
        address_(std::move(address)),
        program_(std::move(program)),
        slurm_binds_(slurm_binds) {}

  [[nodiscard]] uint32_t size() const override { return static_cast<uint32_t>(hosts_.size()) + 1; }
  [[nodiscard]] std::string host(uint32_t rank) const override {
    return rank == 0 ? "this host" : hosts_.at(rank - 1);
  }
  [[nodiscard]] const std::string& address() const override { return address_; }
  [[nodiscard]] Result<Process> start(uint32_t rank, const Start& how) override;
  [[nodiscard]] Result<Process> run(uint32_t rank, const Command& command) override;

 private:
  // A step shares the job's resources with all others, and binds nothing: conode does.
  [[nodiscard]] std::vector<std::string> step_on(uint32_t rank) const {
    std::vector<std::string> argv{"srun",       "--overlap",  "--nodes=1",
                                  "--ntasks=1", "--mpi=none", "--quiet"};
    if (slurm_binds_) argv.emplace_back("--cpu-bind=none");
    argv.push_back("--nodelist=" + hosts_.at(rank - 1));
    return argv;
  }

  std::vector<std::string> hosts_;
  std::string address_;
  std::string program_;
  bool slurm_binds_;
};

Result<Process> Srun::start(uint32_t rank, const Start& how) {
  const UniqueFd standard_input = TRY(ticket_file(how.ticket));
  std::vector<std::string> argv = step_on(rank);
  argv.insert(argv.end(), {"--job-name=conode", "--", program_, "agent"});
  return Process::spawn({.argv = argv,
                         .fds = {{0, standard_input.get()}, {1, how.log}, {2, how.log}},
                         .cgroup = how.cgroup,
                         .new_session = true});
}

Result<Process> Srun::run(uint32_t rank, const Command& command) {
  ProcessOptions options{.argv = command.argv,
                         .environment = command.environment,
                         .working_dir = command.working_dir,
                         .fds = command.fds,
                         .new_session = true};
  if (rank == 0) return Process::spawn(options);
  options.argv = step_on(rank);
  options.argv.insert(options.argv.end(), {"--chdir=" + command.working_dir, "--"});
  options.argv.insert(options.argv.end(), command.argv.begin(), command.argv.end());
  return Process::spawn(options);
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
