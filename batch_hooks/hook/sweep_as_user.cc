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
#include <optional>

#include "agent/base/pipe.h"
#include "agent/base/process.h"
#include "batch_hooks/hook/job_user.h"
#include "cgroup/cgroup.h"
#include "cgroup/hierarchy.h"

namespace conode::hook {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
constexpr size_t kMostSaid = 4096;
constexpr milliseconds kEnd{1000};  // for who was killed

struct Order {
  const std::string& program;
  const std::string& job;
  uid_t user;
  gid_t group;
};

// Absent: no hierarchy, or none to write to. The program is as well run without.
std::optional<Cgroup> own_child(const std::string& name) {
  const Result<std::string> own = own_cgroup_path();
  if (!own) return std::nullopt;
  const Result<Cgroup> here = Cgroup::open(*own);
  if (!here || !here->create(name)) return std::nullopt;
  Result<Cgroup> child = here->open_child(name);
  if (!child) return std::nullopt;
  return std::move(*child);
}

Result<void> end_all_in(const Cgroup& cgroup) {
  TRY(cgroup.kill());
  if (!TRY(cgroup.wait_empty(kEnd)))
    return code_failure(ETIMEDOUT, fmt::format("end who is in cgroup '{}'", cgroup.path()));
  return cgroup.remove();
}

void signals_as_at_login() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
}

// Between fork and exec. Subordinate ids are mapped by newuidmap(1), so programs may change uids.
[[noreturn]] void become_and_run(const Order& order, const Cgroup* cgroup, int said) {
  constexpr int kFailed = 126;
  std::string verb = "sweep";
  std::string option = "--job=" + order.job;
  std::string path = "PATH=/usr/bin:/bin:/usr/sbin:/sbin";
  std::string name = order.program;
  const std::array<char*, 4> argv{name.data(), verb.data(), option.data(), nullptr};
  const std::array<char*, 2> environment{path.data(), nullptr};
  ::setsid();
  signals_as_at_login();
  if (cgroup != nullptr && !cgroup->attach(0)) ::_exit(kFailed);
  const int null = ::open("/dev/null", O_RDWR);
  if (null < 0 || ::dup2(null, STDIN_FILENO) < 0 || ::dup2(said, STDOUT_FILENO) < 0 ||
      ::dup2(said, STDERR_FILENO) < 0 || ::close_range(STDERR_FILENO + 1, ~0U, 0) != 0 ||
      ::setgroups(0, nullptr) != 0 || ::setresgid(order.group, order.group, order.group) != 0 ||
      ::setresuid(order.user, order.user, order.user) != 0 || ::setresuid(0, 0, 0) == 0 ||
      ::setresgid(0, 0, 0) == 0 || ::chdir("/") != 0)
    ::_exit(kFailed);
  ::execve(order.program.c_str(), argv.data(), environment.data());
  ::_exit(kFailed + 1);
}

// What is there now; what is too much is thrown away, so that nobody waits for us.
void read_some(int fd, std::string& said) {
  std::array<char, kMostSaid> bytes{};
  const ssize_t got = ::read(fd, bytes.data(), bytes.size());
  if (got > 0)
    said.append(bytes.data(), std::min(static_cast<size_t>(got), kMostSaid - said.size()));
}

// True: the process has ended in time. Whoever else has the pipe is not waited for.
bool listen_until_end(int pidfd, int pipe, milliseconds patience, std::string& said) {
  const auto deadline = steady_clock::now() + patience;
  std::array<pollfd, 2> events{pollfd{pidfd, POLLIN, 0}, pollfd{pipe, POLLIN, 0}};
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return false;
    if (::poll(events.data(), events.size(), static_cast<int>(left.count())) < 0 && errno != EINTR)
      return false;
    if ((events[1].revents & POLLIN) != 0) read_some(pipe, said);
    if ((events[1].revents & (POLLHUP | POLLIN)) == POLLHUP) events[1].fd = -1;
    if ((events[0].revents & POLLIN) != 0) return true;
  }
}

// The user's words in root's log: no line looks as if somebody else had written it.
std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  return text;
}

Result<void> run(const Order& order, const Cgroup* cgroup, milliseconds patience,
                 std::string& said) {
  Pipe pipe = TRY(make_pipe());
  const pid_t child = ::fork();
  if (child < 0) return errno_failure("fork");
  if (child == 0) become_and_run(order, cgroup, pipe.in.get());
  pipe.in.reset();
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  const bool in_time = pidfd && listen_until_end(pidfd.get(), pipe.out.get(), patience, said);
  if (!in_time) (void)::kill(child, SIGKILL);  // a child of ours: its pid is nobody else's
  int status = 0;
  while (::waitpid(child, &status, 0) != child)
    if (errno != EINTR) return errno_failure("waitpid");
  said = one_line(std::move(said));
  if (!in_time)
    return code_failure(ETIMEDOUT, fmt::format("wait {} ms: {}", patience.count(), said));
  if (const ExitStatus exit = exit_status_from_wait(status); shell_exit_code(exit) != 0)
    return failure(fmt::format("'{}' ended with {}: {}", order.program, describe(exit), said));
  return {};
}

}  // namespace

Result<SweepOutcome> sweep_as_user(const std::string& program, const std::string& job, uid_t user,
                                   gid_t group, milliseconds patience) {
  const std::string what = fmt::format("sweep job '{}' as user {}", job, user);
  TRY_AS(what, check_job_user(user, group));
  const std::optional<Cgroup> cgroup = own_child(fmt::format("conode-sweep.{}", ::getpid()));
  SweepOutcome outcome{.said = {}, .contained = cgroup.has_value()};
  Result<void> done =
      run({program, job, user, group}, cgroup ? &*cgroup : nullptr, patience, outcome.said);
  const Result<void> ended = cgroup ? end_all_in(*cgroup) : Result<void>{};
  TRY_AS(what, std::move(done));
  TRY_AS(what, ended);
  return outcome;
}

}  // namespace conode::hook
