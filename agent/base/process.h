// SPDX-License-Identifier: Apache-2.0
// One child process, held by its pidfd (pidfd_open(2), Linux 5.3): no pid is ever reused under us.
// The child runs async-signal-safe calls only between fork and exec, so any thread may spawn; but
// with `die_with_parent` the child dies when the spawning *thread* ends (prctl(2),
// PR_SET_PDEATHSIG).
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode {

struct Exited {
  int code = 0;
};
struct Signaled {
  int signal = 0;
};
using ExitStatus = std::variant<Exited, Signaled>;

// The shell's convention: the exit code, or 128 + signal.
[[nodiscard]] int shell_exit_code(const ExitStatus& status);
// "exit code 3" / "signal 9 (Killed)"
[[nodiscard]] std::string describe(const ExitStatus& status);
// From waitpid(2)'s status word.
[[nodiscard]] ExitStatus exit_status_from_wait(int wait_status);

// Pids of children that somebody here waits for (Process, run_command), so that whoever reaps
// orphans leaves them alone. Any thread.
class OwnChildren {
 public:
  // Held from before the fork until add(): nobody sees the child unknown.
  [[nodiscard]] static std::unique_lock<std::mutex> lock();
  static void add(pid_t pid, const std::unique_lock<std::mutex>& held);
  static void remove(pid_t pid);
  [[nodiscard]] static bool contains(pid_t pid, const std::unique_lock<std::mutex>& held);
};

// Raises the soft limit of open files to the hard one; children that Process::spawn makes get the
// old one back, since some programs close or select(2) all there may be. Before there are threads.
[[nodiscard]] Result<void> raise_open_file_limit();

// Path of the program that this process runs.
[[nodiscard]] Result<std::string> own_program();

struct ProcessOptions {
  std::vector<std::string> argv;                        // argv[0] is searched in PATH
  std::optional<std::vector<std::string>> environment;  // "NAME=value"; absent: inherited
  std::string working_dir;                              // empty: inherited
  std::map<int, int> fds;                               // child's number -> our descriptor
  std::optional<cpu_set_t> affinity;                    // sched_setaffinity(2) before exec
  int cgroup = -1;                                      // directory fd for CLONE_INTO_CGROUP
  bool new_session = false;                             // setsid(2)
  bool new_process_group = false;                       // setpgid(2)
  bool die_with_parent = false;                         // PR_SET_PDEATHSIG SIGKILL
};

// Move-only. Destroying a process that was not waited for kills and reaps it; one that is still
// there after a second (in uninterruptible sleep, with much memory to free) is left to the kernel.
class Process {
 public:
  // exec errors come back as this call's failure, not as an exit code.
  [[nodiscard]] static Result<Process> spawn(const ProcessOptions& options);

  // A child that the caller made by clone3 with CLONE_PIDFD.
  [[nodiscard]] static Process adopt(pid_t pid, UniqueFd pidfd);

  Process(Process&&) noexcept = default;
  Process& operator=(Process&& other) noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }  // readable when it has ended

  // A process that has already ended is no error.
  [[nodiscard]] Result<void> kill(int signal) const;
  // Blocks, at most `timeout`; empty optional when it still runs then.
  [[nodiscard]] Result<std::optional<ExitStatus>> wait_for(std::chrono::milliseconds timeout);
  [[nodiscard]] Result<ExitStatus> wait();
  // Forget the child: it goes on without us.
  void detach();

 private:
  Process(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  void kill_and_reap();

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<ExitStatus> status_;
};

}  // namespace conode
