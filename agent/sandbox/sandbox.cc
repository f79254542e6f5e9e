// SPDX-License-Identifier: Apache-2.0
#include "agent/sandbox/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <utility>
#include <vector>

#include "agent/base/file.h"
#include "agent/base/pipe.h"

namespace conode::sandbox {
namespace {

constexpr uint64_t kNamespaces =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;

// Laid out before the clone: the child may only make async-signal-safe calls.
struct ChildPlan {
  int go = -1;                    // the parent writes a byte when the ids are mapped
  int go_write = -1;              // the parent's end, of which the child must not keep a copy
  int control = -1;               // becomes kControlFd
  const char* program = nullptr;  // conode-init
  std::array<const char*, 4> argv{};
  const cpu_set_t* cpus = nullptr;
  bool set_groups = false;
};

// Becomes root of the user namespace once the ids are mapped. By system calls: glibc's functions
// make every thread of the process change its ids (nptl(7)), and would wait here for threads that
// exist in the parent only.
bool become_root(int go, bool set_groups) {
  char byte = 0;
  if (::read(go, &byte, 1) != 1) return false;
  if (set_groups && ::syscall(SYS_setgroups, 0, nullptr) != 0) return false;
  return ::syscall(SYS_setresgid, 0, 0, 0) == 0 && ::syscall(SYS_setresuid, 0, 0, 0) == 0;
}

// How the child says what it failed at: its exit code.
enum Step : int { kBecomeRoot = 71, kBindToCpus, kKeepControl, kExecute };

const char* describe_step(int exit_code) {
  switch (exit_code) {
    case kBecomeRoot:
      return "could not become root of its user namespace";
    case kBindToCpus:
      return "could not bind itself to the Kubernetes part's CPUs";
    case kKeepControl:
      return "could not keep its control socket";
    case kExecute:
      return "could not be executed: is its file system mounted noexec?";
    default:
      return "";
  }
}

// Whenever the parent dies, this child must, too: it holds the job's lock until it executes. Death
// before the first prctl shows as the end of the pipe.
[[noreturn]] void run_child(const ChildPlan& plan) {
  ::close(plan.go_write);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) ::_exit(kBecomeRoot);
  if (!become_root(plan.go, plan.set_groups)) ::_exit(kBecomeRoot);
  // The change of ids has cleared it (prctl(2)).
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) ::_exit(kBecomeRoot);
  if (plan.cpus != nullptr && ::sched_setaffinity(0, sizeof(cpu_set_t), plan.cpus) != 0)
    ::_exit(kBindToCpus);
  ::setsid();
  if (plan.control >= 0 && ::dup2(plan.control, kControlFd) < 0) ::_exit(kKeepControl);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  std::array<char*, 1> environment{nullptr};
  ::execve(plan.program, const_cast<char**>(plan.argv.data()), environment.data());
  ::_exit(kExecute);
}

// clone3 of a child in new namespaces; 0 in the child.
pid_t clone_into(uint64_t namespaces, int cgroup, int* pidfd) {
  clone_args args{};
  args.flags = namespaces | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

Failure namespaces_refused() {
  Failure refused = errno_failure("create the sandbox's namespaces: clone3");
  const int error = refused.value().code.value();
  std::string remedy;
  if (error == EPERM)
    remedy =
        "unprivileged user namespaces are forbidden here: an administrator sets "
        "kernel.unprivileged_userns_clone=1, or on Ubuntu 24.04 and later "
        "kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile for conode";
  if (error == ENOSPC || error == EUSERS)
    remedy = "an administrator raises user.max_user_namespaces (and max_net_namespaces)";
  if (error == ENOSYS || error == EINVAL)
    remedy = "conode needs a kernel with user namespaces and clone3, Linux 5.7 or later";
  return Failure(std::move(refused.value()).with_remedy(remedy));
}

// The descriptor again, above kControlFd: dup2 to itself would keep O_CLOEXEC.
Result<UniqueFd> lift(UniqueFd fd) {
  UniqueFd lifted(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kControlFd + 1));
  if (!lifted) return errno_failure("duplicate a descriptor");
  return lifted;
}

// What the init is told; keys as init_main.cc reads them.
Message setup_message(const Options& o) {
  return {Kind::setup,
          0,
          0,
          {"level=" + o.level, "hostname=" + o.host_name, "node_address=" + o.node_address,
           fmt::format("node_prefix_length={}", o.node_prefix_length), "pod_prefix=" + o.pod_prefix,
           "resolver=" + o.resolver, fmt::format("mtu={}", o.mtu),
           fmt::format("tun_queues={}", o.tun_queues),
           fmt::format("tun_routes={}", fmt::join(o.tun_routes, ",")), "state_dir=" + o.state_dir,
           "bundle_dir=" + o.bundle_dir, "libexec_dir=" + o.libexec_dir},
          {}};
}

}  // namespace

Result<Sandbox> Sandbox::create(const Options& options) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return errno_failure("socketpair");
  UniqueFd ours(pair[0]);
  const UniqueFd control = TRY(lift(UniqueFd(pair[1])));
  const std::string program = options.libexec_dir + "/conode-init";
  if (::access(program.c_str(), X_OK) != 0)
    return Failure(errno_failure(fmt::format("start '{}'", program))
                       .value()
                       .with_remedy("install conode completely: libexec/conode is missing"));
  auto [go_read, go_write] = TRY(make_pipe());
  go_read = TRY(lift(std::move(go_read)));

  ChildPlan plan;
  plan.go = go_read.get();
  plan.go_write = go_write.get();
  plan.control = control.get();
  plan.argv = {"conode-init", options.state_dir.c_str()};  // the second is for ps(1)
  plan.program = program.c_str();
  plan.cpus = options.cpus ? &*options.cpus : nullptr;
  plan.set_groups = options.ids.subordinate;

  int pidfd = -1;
  const pid_t pid = clone_into(kNamespaces, options.cgroup, &pidfd);
  if (pid < 0) return namespaces_refused();
  if (pid == 0) run_child(plan);
  Sandbox sandbox(Process::adopt(pid, UniqueFd(pidfd)), std::move(ours));
  TRY_AS("create the sandbox", write_id_map(pid, options.ids));
  TRY(write_all(go_write.get(), "g", "go"));
  TRY(send(sandbox.control(), setup_message(options)));
  return sandbox;
}

Result<void> Sandbox::start(uint32_t id, const std::string& name,
                            const std::vector<std::string>& argv,
                            const std::vector<std::string>& environment, UniqueFd log) {
  Message message{Kind::start, id, static_cast<int32_t>(argv.size()), {name}, std::move(log)};
  message.strings.insert(message.strings.end(), argv.begin(), argv.end());
  message.strings.insert(message.strings.end(), environment.begin(), environment.end());
  return send(control_.get(), message);
}

Result<void> Sandbox::signal(uint32_t id, int number) {
  return send(control_.get(), {Kind::signal, id, number, {}, {}});
}

Result<void> Sandbox::request_socket(uint32_t id, int type) {
  return send(control_.get(), {Kind::socket, id, type, {}, {}});
}

std::string Sandbox::how_it_ended() {
  constexpr std::chrono::seconds kPatience{1};  // its socket has closed: it is about to end
  const Result<std::optional<ExitStatus>> status = init_.wait_for(kPatience);
  if (!status || !*status) return "it does not answer";
  const std::string step = describe_step(shell_exit_code(**status));
  return step.empty() ? "it ended with " + describe(**status) : "it " + step;
}

Result<void> Sandbox::destroy() {
  constexpr std::chrono::seconds kPatience{10};  // the kernel ends a PID namespace in about 100 ms
  TRY(init_.kill(SIGKILL));
  const std::optional<ExitStatus> status = TRY(init_.wait_for(kPatience));
  if (status) return {};
  init_.detach();
  return failure(fmt::format("end the sandbox: process {} does not end", init_.pid()),
                 "a process in it waits for a device or a file system (state D in ps)");
}

Result<void> remove_as_namespace_root(const std::string& path, const std::string& libexec_dir,
                                      const IdMap& ids) {
  auto [go_read, go_write] = TRY(make_pipe());
  const std::string program = libexec_dir + "/conode-init";
  ChildPlan plan;
  plan.go = go_read.get();
  plan.go_write = go_write.get();
  plan.program = program.c_str();
  plan.argv = {"conode-init", "remove", path.c_str()};
  plan.set_groups = ids.subordinate;
  int pidfd = -1;
  const pid_t pid = clone_into(CLONE_NEWUSER, -1, &pidfd);
  if (pid < 0) return namespaces_refused();
  if (pid == 0) run_child(plan);
  Process child = Process::adopt(pid, UniqueFd(pidfd));
  TRY_AS(fmt::format("remove '{}'", path), write_id_map(pid, ids));
  TRY(write_all(go_write.get(), "g", "go"));
  const ExitStatus status = TRY(child.wait());
  if (shell_exit_code(status) != 0)
    return failure(fmt::format("remove '{}': the remover ended with {}", path, describe(status)));
  return {};
}

}  // namespace conode::sandbox
