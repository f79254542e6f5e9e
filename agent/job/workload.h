// SPDX-License-Identifier: Apache-2.0
// The command of `conode exec`: a child in the HPC part whose exit code is ours. On the loop's
// thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/process.h"
#include "agent/job/job_dir.h"

namespace conode::job {

struct EnforcedPart;

class Workload {
 public:
  // `ended` gets the exit code as a shell would give it.
  [[nodiscard]] static Result<std::unique_ptr<Workload>> start(
      boost::asio::io_context& loop, const std::vector<std::string>& command,
      const Instance& instance, const std::string& state_dir, const EnforcedPart& part,
      const std::string& cgroup_path, std::function<void(int exit_code)> ended);

  [[nodiscard]] bool running() const { return running_; }
  [[nodiscard]] pid_t pid() const { return process_.pid(); }

  // A signal meant for the job: the command gets it, and 10 s to end.
  void forward(int signal);

 private:
  Workload(boost::asio::io_context& loop, Process process, std::function<void(int)> ended);
  void wait_for_end();

  Process process_;
  boost::asio::posix::stream_descriptor pidfd_;
  boost::asio::steady_timer patience_;
  std::function<void(int)> ended_;
  bool running_ = true;
};

}  // namespace conode::job
