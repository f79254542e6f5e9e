// SPDX-License-Identifier: Apache-2.0
#include "agent/job/orphans.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <sstream>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/job/job_dir.h"

namespace conode::job {

Result<void> Orphans::adopt() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
    return errno_failure("become the reaper of the command's processes: prctl");
  std::istringstream uptime(TRY(read_file("/proc/uptime")));
  double seconds = 0;
  uptime >> seconds;
  since_ = static_cast<uint64_t>(seconds * static_cast<double>(::sysconf(_SC_CLK_TCK)));
  return {};
}

std::vector<pid_t> Orphans::in_state(bool ended) const {
  std::vector<pid_t> found;
  const auto known = OwnChildren::lock();
  const auto threads = list_dir("/proc/self/task");
  for (const std::string& thread : threads.value_or(std::vector<std::string>{})) {
    std::istringstream pids(
        read_file(fmt::format("/proc/self/task/{}/children", thread)).value_or(""));
    for (pid_t pid = 0; pids >> pid;) {
      const std::optional<ProcessStat> stat = process_stat(pid);
      if (stat && stat->ended() == ended && stat->start_time >= since_ &&
          !OwnChildren::contains(pid, known))
        found.push_back(pid);
    }
  }
  return found;
}

void Orphans::reap() const {
  for (const pid_t pid : in_state(true)) (void)::waitpid(pid, nullptr, WNOHANG);
}

void Orphans::end(std::chrono::milliseconds grace) const {
  constexpr std::chrono::seconds kAfterKill{5};
  const auto begun = std::chrono::steady_clock::now();
  for (;;) {
    reap();
    const std::vector<pid_t> left = in_state(false);
    const auto spent = std::chrono::steady_clock::now() - begun;
    if (left.empty() || spent > grace + kAfterKill) return;
    for (const pid_t pid : left) (void)::kill(pid, spent < grace ? SIGTERM : SIGKILL);
    // Until one of them ends, or it is time for SIGKILL; the end of one may bring its children.
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, left.front(), 0));
    constexpr int kPause = 100;  // ms
    pollfd poll_fd{pidfd, POLLIN, 0};
    (void)::poll(&poll_fd, 1, kPause);
    ::close(pidfd);
  }
}

}  // namespace conode::job
