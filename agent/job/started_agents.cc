// SPDX-License-Identifier: Apache-2.0
#include "agent/job/started_agents.h"

#include <fcntl.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <utility>

namespace conode::job {

using boost::system::error_code;

void StartedAgents::add(uint32_t rank, Process process) {
  const int pidfd = ::fcntl(process.pidfd(), F_DUPFD_CLOEXEC, 0);
  auto running = std::make_unique<Running>(
      Running{std::move(process), boost::asio::posix::stream_descriptor(loop_, pidfd)});
  running->pidfd.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                            [this, rank](const error_code& error) {
                              if (!error) on_ended(rank);
                            });
  running_[rank] = std::move(running);
}

void StartedAgents::on_ended(uint32_t rank) {
  const auto found = running_.find(rank);
  const Result<ExitStatus> status = found->second->process.wait();
  running_.erase(found);
  on_end_(rank, "ended with " + (status ? describe(*status) : status.error().message()));
  look_whether_all_ended();
}

void StartedAgents::look_whether_all_ended() {
  if (!done_ || !running_.empty()) return;
  patience_.cancel();
  boost::asio::post(loop_, std::exchange(done_, nullptr));
}

void StartedAgents::kill_all() {
  constexpr std::chrono::seconds kAfterKill{5};
  for (const auto& [rank, running] : running_) (void)running->process.kill(SIGKILL);
  patience_.expires_after(kAfterKill);
  patience_.async_wait([this](const error_code& error) {
    if (error || !done_) return;
    boost::asio::post(loop_, std::exchange(done_, nullptr));
  });
}

void StartedAgents::when_all_ended(std::chrono::milliseconds patience, std::function<void()> done) {
  done_ = std::move(done);
  patience_.expires_after(patience);
  patience_.async_wait([this](const error_code& error) {
    if (!error) kill_all();
  });
  look_whether_all_ended();
}

}  // namespace conode::job
