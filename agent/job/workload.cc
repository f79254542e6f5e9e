// SPDX-License-Identifier: Apache-2.0
#include "agent/job/workload.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "agent/base/environment.h"
#include "agent/base/file.h"
#include "agent/job/cleanup.h"
#include "agent/job/hpc_part.h"
#include "agent/job/node_agent.h"

namespace conode::job {

namespace asio = boost::asio;

Workload::Workload(asio::io_context& loop, Process process, std::function<void(int)> ended)
    : process_(std::move(process)),
      pidfd_(loop, ::fcntl(process_.pidfd(), F_DUPFD_CLOEXEC, 0)),
      patience_(loop),
      ended_(std::move(ended)) {}

Result<std::unique_ptr<Workload>> Workload::start(
    asio::io_context& loop, const std::vector<std::string>& command, const Instance& instance,
    const std::string& state_dir, const EnforcedPart& part, const std::string& cgroup_path,
    std::function<void(int)> ended) {
  if (part.cpus.empty())
    return failure("start the command: Kubernetes has all cores of this job",
                   "give it fewer with --k8s-cores or --k8s-share");
  std::map<std::string, std::string> variables = part_environment(instance, state_dir);
  variables[kPartVariable] = instance.instance;
  UniqueFd cgroup;
  if (!cgroup_path.empty()) cgroup = TRY(open_at(AT_FDCWD, cgroup_path, O_PATH | O_DIRECTORY));
  Process process = TRY(Process::spawn({.argv = command,
                                        .environment = environment_with(variables),
                                        .affinity = part.mask,
                                        .cgroup = cgroup ? cgroup.get() : -1,
                                        .die_with_parent = true}));
  std::unique_ptr<Workload> workload(new Workload(loop, std::move(process), std::move(ended)));
  workload->wait_for_end();
  return workload;
}

void Workload::wait_for_end() {
  pidfd_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [this](const boost::system::error_code& error) {
                      if (error) return;
                      const Result<ExitStatus> status = process_.wait();
                      running_ = false;
                      patience_.cancel();
                      ended_(status ? shell_exit_code(*status) : 1);
                    });
}

void Workload::forward(int signal) {
  constexpr std::chrono::seconds kPatience{10};
  // The terminal has sent SIGINT to the whole foreground process group already.
  // What it does with it is between the two: an interpreter goes on.
  if (signal == SIGINT && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp()) return;
  (void)process_.kill(signal);
  patience_.expires_after(kPatience);
  patience_.async_wait([this](const boost::system::error_code& error) {
    if (!error) (void)process_.kill(SIGKILL);
  });
}

}  // namespace conode::job
