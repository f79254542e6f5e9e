// SPDX-License-Identifier: Apache-2.0
#include "agent/base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <cstring>
#include <set>

namespace conode {
namespace {

// What the child needs, laid out before the fork: the child must not allocate.
struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<std::pair<int, int>> fds;  // child's number, ours (above every child's number)
  const char* working_dir = nullptr;
  const cpu_set_t* affinity = nullptr;
  bool new_session = false;
  bool new_process_group = false;
  bool die_with_parent = false;
  pid_t parent = 0;
  int report = -1;
};

struct Children {
  std::mutex mutex;
  std::set<pid_t> pids;
};

Children& children() {
  static Children instance;
  return instance;
}

// Before it was raised.
std::optional<rlimit>& old_open_file_limit() {
  static std::optional<rlimit> limit;
  return limit;
}

struct ChildFailure {
  int error = 0;
  std::array<char, 32> step{};
};

[[noreturn]] void give_up(int report, const char* step) {
  ChildFailure message;
  message.error = errno;
  ::strncpy(message.step.data(), step, message.step.size() - 1);
  [[maybe_unused]] const ssize_t n = ::write(report, &message, sizeof message);
  ::_exit(127);
}

// To the defaults, but for what nohup(1) and its like have ignored. SIGPIPE we ignore ourselves.
void reset_signals() {
  for (int s = 1; s < NSIG; ++s) {
    struct sigaction now {};
    if (s != SIGPIPE && ::sigaction(s, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) continue;
    ::signal(s, SIG_DFL);  // NOLINT(bugprone-unused-return-value)
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void run_child(const ChildPlan& plan) {
  reset_signals();
  if (plan.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(plan.report, "prctl");
    if (::getppid() != plan.parent) ::_exit(127);  // the parent died before the prctl
  }
  if (plan.new_session && ::setsid() < 0) give_up(plan.report, "setsid");
  if (plan.new_process_group && ::setpgid(0, 0) != 0) give_up(plan.report, "setpgid");
  if (plan.affinity != nullptr && ::sched_setaffinity(0, sizeof(cpu_set_t), plan.affinity) != 0)
    give_up(plan.report, "sched_setaffinity");
  if (const std::optional<rlimit>& files = old_open_file_limit();
      files && ::setrlimit(RLIMIT_NOFILE, &*files) != 0)
    give_up(plan.report, "setrlimit");
  if (plan.working_dir != nullptr && ::chdir(plan.working_dir) != 0) give_up(plan.report, "chdir");
  // Libraries open descriptors without O_CLOEXEC; before Linux 5.11 those stay open.
  (void)::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  for (const auto& [number, ours] : plan.fds)
    if (::dup2(ours, number) < 0) give_up(plan.report, "dup2");
  ::execvpe(plan.argv[0], plan.argv.data(), plan.envp.empty() ? environ : plan.envp.data());
  give_up(plan.report, "exec");
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// fork, with a pidfd, and into a cgroup where one is asked for (clone3, Linux 5.7).
pid_t fork_with_pidfd(int cgroup, int* pidfd) {
  clone_args args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

}  // namespace

std::unique_lock<std::mutex> OwnChildren::lock() { return std::unique_lock(children().mutex); }

void OwnChildren::add(pid_t pid, const std::unique_lock<std::mutex>& /*held*/) {
  children().pids.insert(pid);
}

void OwnChildren::remove(pid_t pid) {
  const auto held = lock();
  children().pids.erase(pid);
}

bool OwnChildren::contains(pid_t pid, const std::unique_lock<std::mutex>& /*held*/) {
  return children().pids.contains(pid);
}

Result<void> raise_open_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return errno_failure("look at the limit of files");
  if (!old_open_file_limit()) old_open_file_limit() = limit;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    return errno_failure(fmt::format("raise the limit of open files to {}", limit.rlim_max));
  return {};
}

Result<std::string> own_program() {
  std::array<char, PATH_MAX> path{};
  if (::readlink("/proc/self/exe", path.data(), path.size() - 1) < 0)
    return errno_failure("find our own program");
  return std::string(path.data());
}

int shell_exit_code(const ExitStatus& status) {
  if (const auto* exited = std::get_if<Exited>(&status)) return exited->code;
  return 128 + std::get<Signaled>(status).signal;
}

std::string describe(const ExitStatus& status) {
  if (const auto* exited = std::get_if<Exited>(&status))
    return fmt::format("exit code {}", exited->code);
  const int signal = std::get<Signaled>(status).signal;
  return fmt::format("signal {} ({})", signal, ::strsignal(signal));
}

ExitStatus exit_status_from_wait(int wait_status) {
  if (WIFSIGNALED(wait_status)) return Signaled{WTERMSIG(wait_status)};
  return Exited{WEXITSTATUS(wait_status)};
}

Result<Process> Process::spawn(const ProcessOptions& options) {
  if (options.argv.empty()) return failure("spawn: empty command");
  std::array<int, 2> pipe_fds{};
  if (::pipe2(pipe_fds.data(), O_CLOEXEC) != 0) return errno_failure("pipe");
  const UniqueFd report_read(pipe_fds[0]);
  UniqueFd report_write(pipe_fds[1]);

  // Sources of dup2 and the report must lie above every target number.
  int highest = 2;
  for (const auto& [number, ours] : options.fds) highest = std::max(highest, number);
  std::vector<UniqueFd> moved;
  ChildPlan plan;
  const auto above = [&](int fd) -> Result<int> {
    UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, highest + 1));
    if (!copy) return errno_failure(fmt::format("duplicate descriptor {}", fd));
    moved.push_back(std::move(copy));
    return moved.back().get();
  };
  for (const auto& [number, ours] : options.fds) plan.fds.emplace_back(number, TRY(above(ours)));
  plan.report = TRY(above(report_write.get()));
  report_write.reset();

  plan.argv = pointers(options.argv);
  if (options.environment) plan.envp = pointers(*options.environment);
  if (!options.working_dir.empty()) plan.working_dir = options.working_dir.c_str();
  if (options.affinity) plan.affinity = &*options.affinity;
  plan.new_session = options.new_session;
  plan.new_process_group = options.new_process_group;
  plan.die_with_parent = options.die_with_parent;
  plan.parent = ::getpid();

  int pidfd = -1;
  auto unknown = OwnChildren::lock();
  const pid_t pid = fork_with_pidfd(options.cgroup, &pidfd);
  if (pid == 0) run_child(plan);
  if (pid < 0) return errno_failure(fmt::format("start '{}': clone3", options.argv[0]));
  OwnChildren::add(pid, unknown);
  unknown.unlock();
  Process child(pid, UniqueFd(pidfd));
  moved.clear();  // the child's end of the report pipe must be the only one

  ChildFailure message;
  ssize_t n = 0;
  do n = ::read(report_read.get(), &message, sizeof message);
  while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(sizeof message))
    return code_failure(message.error,
                        fmt::format("start '{}': {}", options.argv[0], message.step.data()));
  return child;
}

Process Process::adopt(pid_t pid, UniqueFd pidfd) {
  OwnChildren::add(pid, OwnChildren::lock());
  return {pid, std::move(pidfd)};
}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    kill_and_reap();
    pid_ = other.pid_;
    pidfd_ = std::move(other.pidfd_);
    status_ = other.status_;
  }
  return *this;
}

Process::~Process() { kill_and_reap(); }

void Process::kill_and_reap() {
  constexpr std::chrono::seconds kPatience{1};
  if (!pidfd_ || status_) return;
  (void)kill(SIGKILL);
  (void)wait_for(kPatience);
}

Result<void> Process::kill(int signal) const {
  if (!pidfd_ || status_) return {};
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) != 0 && errno != ESRCH)
    return errno_failure(fmt::format("send signal {} to process {}", signal, pid_));
  return {};
}

Result<std::optional<ExitStatus>> Process::wait_for(std::chrono::milliseconds timeout) {
  if (status_) return status_;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd poll_fd{pidfd_.get(), POLLIN, 0};
    const int ready = ::poll(&poll_fd, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return errno_failure(fmt::format("poll process {}", pid_));
    if (ready == 0) return std::optional<ExitStatus>{};
    return std::optional<ExitStatus>(TRY(wait()));
  }
}

Result<ExitStatus> Process::wait() {
  if (status_) return *status_;
  int wait_status = 0;
  while (::waitpid(pid_, &wait_status, 0) < 0)
    if (errno != EINTR) return errno_failure(fmt::format("wait for process {}", pid_));
  OwnChildren::remove(pid_);
  status_ = exit_status_from_wait(wait_status);
  return *status_;
}

void Process::detach() {
  OwnChildren::remove(pid_);
  pidfd_.reset();
  pid_ = -1;
}

}  // namespace conode
