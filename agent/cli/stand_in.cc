// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/stand_in.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "agent/base/process.h"
#include "cgroup/delegation.h"

namespace conode::cli {
namespace {

// Job control and what the kernel raises for the process's own faults stay as they are.
sigset_t passed_on() {
  sigset_t set{};
  ::sigemptyset(&set);
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD})
    ::sigaddset(&set, number);
  return set;
}

// The child has what the terminal's keys send already: it is of the same process group.
bool is_from_terminal(const siginfo_t& info) { return info.si_code == SI_KERNEL; }

[[noreturn]] void stand_in_for(pid_t child, const sigset_t& signals) {
  for (;;) {
    siginfo_t info{};
    const int number = ::sigwaitinfo(&signals, &info);
    int status = 0;
    if (number == SIGCHLD && ::waitpid(child, &status, WNOHANG) == child)
      ::_exit(shell_exit_code(exit_status_from_wait(status)));
    if (number > 0 && number != SIGCHLD && !is_from_terminal(info)) (void)::kill(child, number);
  }
}

}  // namespace

Result<void> leave_stand_in(int last_signal) {
  const std::optional<Delegation> delegation = TRY(find_delegation());
  if (!delegation || !delegation->elsewhere) return {};
  const pid_t parent = ::getpid();
  const sigset_t signals = passed_on();
  sigset_t before{};
  if (::sigprocmask(SIG_BLOCK, &signals, &before) != 0) return errno_failure("block signals");
  const pid_t child = ::fork();
  if (child < 0) return errno_failure("leave a process in the batch system's cgroup: fork");
  if (child > 0) stand_in_for(child, signals);
  if (::prctl(PR_SET_PDEATHSIG, last_signal, 0, 0, 0) != 0)
    return errno_failure("ask for a signal at the end of who stays behind: prctl");
  if (::getppid() != parent) return failure("the process that stays behind was killed at once");
  if (::sigprocmask(SIG_SETMASK, &before, nullptr) != 0) return errno_failure("unblock signals");
  return {};
}

}  // namespace conode::cli
