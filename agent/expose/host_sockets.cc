// SPDX-License-Identifier: Apache-2.0
#include "agent/expose/host_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "agent/sandbox/protocol.h"

namespace conode::expose {
namespace {

using sandbox::Kind;
using sandbox::Message;

// Errors carry no context yet: they may have come from another process.
Result<UniqueFd> bind_here(Protocol protocol, const std::string& address, uint16_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &name.sin_addr) != 1) return code_failure(EINVAL, "");
  const bool tcp = protocol == Protocol::tcp;
  UniqueFd socket(::socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  if (!socket) return errno_failure("");
  const int yes = 1;
  // Of TCP alone: it would let two UDP sockets share a port.
  if (tcp && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
    return errno_failure("");
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0)
    return errno_failure("");
  if (tcp && ::listen(socket.get(), SOMAXCONN) != 0) return errno_failure("");
  return socket;
}

std::string remedy_of(int error) {
  if (error == EADDRINUSE) return "another program of this host has it: choose another port";
  if (error == EACCES)
    return "ports below the sysctl net.ipv4.ip_unprivileged_port_start are root's: choose a "
           "higher one";
  if (error == EPIPE || error == EAGAIN)
    return "the process that keeps the host's network for this job has gone, or is stopped: "
           "restart the job";
  if (error == EADDRNOTAVAIL) return "it is no address of this host: set network.expose_address";
  return {};
}

// The child's life: no descriptor but its socket, no terminal.
[[noreturn]] void keep_namespace(UniqueFd control, pid_t parent, const cpu_set_t& affinity) {
  constexpr int kControl = 3;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(1);
  (void)::prctl(PR_SET_NAME, "conode-ports");
  (void)::sched_setaffinity(0, sizeof affinity, &affinity);
  ::setsid();
  const UniqueFd null(::open("/dev/null", O_RDWR));
  for (const int fd : {0, 1, 2}) (void)::dup2(null.get(), fd);
  UniqueFd own(::fcntl(control.get(), F_DUPFD_CLOEXEC, kControl + 1));
  if (!own || ::dup2(own.get(), kControl) != kControl) ::_exit(1);
  (void)::syscall(SYS_close_range, static_cast<unsigned>(kControl) + 1, ~0U, 0U);
  for (;;) {
    Result<std::optional<Message>> request = sandbox::receive(kControl);
    if (!request || !*request || (*request)->strings.size() != 2) ::_exit(0);
    const Message& asked = **request;
    Result<UniqueFd> bound = bind_here(asked.strings[1] == "tcp" ? Protocol::tcp : Protocol::udp,
                                       asked.strings[0], static_cast<uint16_t>(asked.value));
    Message answer{Kind::socket_made, asked.id, bound ? 0 : bound.error().code.value(), {}, {}};
    if (bound) answer.fd = std::move(*bound);
    if (!sandbox::send(kControl, answer)) ::_exit(0);
  }
}

// The answer comes within microseconds, or not at all. One that comes later than we have waited is
// that of an earlier question.
Result<UniqueFd> ask(int control, Protocol protocol, const std::string& address, uint16_t port) {
  static uint32_t question = 0;
  const std::string kind = protocol == Protocol::tcp ? "tcp" : "udp";
  TRY(sandbox::send(control, {Kind::socket, ++question, port, {address, kind}, {}}));
  std::optional<Message> answer;
  do {
    answer = TRY(sandbox::receive(control));
    if (!answer) return code_failure(EPIPE, "");
  } while (answer->id != question);
  if (!answer->fd) return code_failure(answer->value, "");
  return std::move(answer->fd);
}

}  // namespace

Result<HostSockets> HostSockets::keep(const cpu_set_t& affinity) {
  constexpr timeval kPatience{5, 0};
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return errno_failure("socketpair");
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  (void)::setsockopt(ours.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return errno_failure("leave a process in the host's network namespace: fork");
  if (pid == 0) {
    ours.reset();
    keep_namespace(std::move(theirs), parent, affinity);
  }
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return HostSockets(Process::adopt(pid, std::move(pidfd)), std::move(ours));
}

Result<UniqueFd> HostSockets::bind(Protocol protocol, const std::string& address, uint16_t port) {
  const std::string what = fmt::format("listen on {}:{} ({})", address, port, to_string(protocol));
  if (protocol == Protocol::sctp)
    return failure(fmt::format("{}: SCTP is not supported", what), "TCP and UDP are");
  Result<UniqueFd> bound =
      keeper_ ? ask(control_.get(), protocol, address, port) : bind_here(protocol, address, port);
  if (bound) return bound;
  return Failure(code_failure(bound.error().code.value(), what)
                     .value()
                     .with_remedy(remedy_of(bound.error().code.value())));
}

}  // namespace conode::expose
