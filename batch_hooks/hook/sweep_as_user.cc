// SPDX-License-Identifier: Apache-2.0
#include "batch_hooks/hook/sweep_as_user.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "agent/base/process.h"

namespace conode::hook {
namespace {

// Between fork and exec. Subordinate ids are mapped by newuidmap(1), so programs may change uids.
[[noreturn]] void become_and_run(const std::string& program, const std::string& job, uid_t user,
                                 gid_t group) {
  std::string verb = "sweep";
  std::string option = "--job=" + job;
  std::string path = "PATH=/usr/bin:/bin:/usr/sbin:/sbin";
  std::string name = program;
  const std::array<char*, 4> argv{name.data(), verb.data(), option.data(), nullptr};
  const std::array<char*, 2> environment{path.data(), nullptr};
  const int null = ::open("/dev/null", O_RDWR);
  if (null < 0 || ::dup2(null, STDIN_FILENO) < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
      ::close_range(STDERR_FILENO + 1, ~0U, 0) != 0 || ::setgroups(0, nullptr) != 0 ||
      ::setresgid(group, group, group) != 0 || ::setresuid(user, user, user) != 0 ||
      ::setresuid(0, 0, 0) == 0 || ::chdir("/") != 0)
    ::_exit(126);
  ::setsid();
  ::execve(program.c_str(), argv.data(), environment.data());
  ::_exit(127);
}

}  // namespace

Result<void> sweep_as_user(const std::string& program, const std::string& job, uid_t user,
                           gid_t group, std::chrono::milliseconds patience) {
  const std::string what = fmt::format("sweep job '{}' as user {}", job, user);
  if (user == 0 || group == 0) return code_failure(EPERM, what);
  const pid_t child = ::fork();
  if (child < 0) return errno_failure(what + ": fork");
  if (child == 0) become_and_run(program, job, user, group);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd ended{.fd = pidfd.get(), .events = POLLIN};
  const bool in_time = ::poll(&ended, 1, static_cast<int>(patience.count())) == 1;
  if (!in_time) (void)::kill(child, SIGKILL);  // a child of ours: its pid is nobody else's
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return errno_failure(what + ": waitpid");
  if (!in_time)
    return code_failure(ETIMEDOUT, fmt::format("{} within {} ms", what, patience.count()));
  if (const ExitStatus exit = exit_status_from_wait(status); shell_exit_code(exit) != 0)
    return failure(fmt::format("{}: '{}' ended with {}", what, program, conode::describe(exit)));
  return {};
}

}  // namespace conode::hook
