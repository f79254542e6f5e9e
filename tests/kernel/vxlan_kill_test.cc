// SPDX-License-Identifier: Apache-2.0
// kill -9 in the middle: `up` with all that it has started is stopped at one of its system calls
// and killed; `down`, or `up` again, has to find whatever it was about to do.
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "agent/base/file.h"
#include "netplug/link/link.h"
#include "tests/support/vxlan_fixture.h"

namespace conode::test {
namespace {

class VxlanKill : public VxlanFixture {};

// A program and its descendants, all traced.
class Traced {
 public:
  explicit Traced(const std::vector<std::string>& command, const Netns& netns)
      : command_(command), netns_(netns) {}

  // Kills them all at their `count`-th system call; false where they end or rest before.
  bool run_until(int count);

 private:
  void start();
  void let_go(pid_t pid, int signal) const { ::ptrace(PTRACE_SYSCALL, pid, nullptr, signal); }
  void kill_all();

  const std::vector<std::string>& command_;
  const Netns& netns_;
  std::set<pid_t> tracees_;
};

void Traced::start() {
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    std::vector<char*> arguments;
    for (const std::string& one : command_) arguments.push_back(const_cast<char*>(one.c_str()));
    arguments.push_back(nullptr);
    if (::setns(netns_.fd(), 0) != 0 || ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
      ::_exit(1);
    ::execv(arguments[0], arguments.data());
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                            PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  ASSERT_EQ(::ptrace(PTRACE_SETOPTIONS, pid, nullptr, kOptions), 0);
  tracees_.insert(pid);
  let_go(pid, 0);
}

void Traced::kill_all() {
  for (const pid_t pid : tracees_) (void)::kill(pid, SIGKILL);
  int status = 0;
  while (!tracees_.empty()) {
    const pid_t pid = ::waitpid(-1, &status, __WALL);
    if (pid < 0) break;
    if (WIFEXITED(status) || WIFSIGNALED(status)) tracees_.erase(pid);
    if (WIFSTOPPED(status)) (void)::kill(pid, SIGKILL);  // was just born
  }
}

bool Traced::run_until(int count) {
  constexpr int kSystemCall = SIGTRAP | 0x80;
  start();
  const pid_t first = tracees_.empty() ? -1 : *tracees_.begin();
  int calls = 0;
  while (!tracees_.empty()) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, __WALL);
    if (pid < 0) break;
    if (!WIFSTOPPED(status)) {
      tracees_.erase(pid);
      if (pid == first) break;  // all is up, and the keeper waits for somebody
      continue;
    }
    tracees_.insert(pid);
    const int signal = WSTOPSIG(status);
    if (signal == kSystemCall && ++calls == count) {
      kill_all();
      return true;
    }
    const bool own = signal == kSystemCall || signal == SIGTRAP || signal == SIGSTOP;
    let_go(pid, own ? 0 : signal);
  }
  kill_all();
  return false;
}

TEST_F(VxlanKill, DownFindsWhateverAKilledUpHasLeft) {
  constexpr int kStep = 101;  // stops at entries and at exits
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  Socket socket = Socket::open(host(0).netns()).value();
  const size_t links = list_links(socket).value().size();
  const std::vector<std::string> command = host(0).command(world_->up(kJob, 0, 1));
  int kills = 0;
  for (int count = 1; Traced(command, host(0).netns()).run_until(count); count += kStep) {
    ++kills;
    if (kills % 2 == 0) {
      const HookRun again = host(0).hook(world_->up(kJob, 0, 1)).value();
      EXPECT_TRUE(again.ok()) << count << ": " << again.output;
    }
    const HookRun undone = host(0).down(kJob).value();
    EXPECT_TRUE(undone.ok()) << count << ": " << undone.output;
    EXPECT_EQ(host(0).rules().value(), "") << count;
    EXPECT_EQ(list_dir(host(0).run_dir()).value_or(std::vector<std::string>{}).size(), 0U) << count;
    EXPECT_EQ(list_links(socket).value().size(), links) << count;
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(kills, 5);
  down();
}

}  // namespace
}  // namespace conode::test
