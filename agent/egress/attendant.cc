// SPDX-License-Identifier: Apache-2.0
#include "agent/egress/attendant.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "agent/base/file.h"
#include "agent/sandbox/enter.h"
#include "netplug/link/egress_link.h"

namespace conode::egress {
namespace {

Result<void> set_up(const std::vector<std::string>& arguments) {
  constexpr std::chrono::seconds kPatience{10};
  constexpr size_t kFixed = 3;
  if (arguments.size() < kFixed) return code_failure(EINVAL, "read the arguments");
  TRY(sandbox::enter_network(arguments[0]));
  return set_up_egress({.node_address = arguments[1],
                        .pod_prefix = arguments[2],
                        .inside = {arguments.begin() + kFixed, arguments.end()}},
                       kPatience);
}

// Until one of the two is gone.
void wait_for_end() {
  std::array<pollfd, 2> fds{pollfd{kAgentFd, 0, 0}, pollfd{kProgramFd, POLLIN, 0}};
  while (::poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) continue;
}

}  // namespace

int attend(const std::vector<std::string>& arguments) {
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(bugprone-unused-return-value)
  const Result<void> done = set_up(arguments);
  const std::string said = done ? kUp : done.error().message() + "\n";
  if (write_all(STDOUT_FILENO, said, "standard output") && done) wait_for_end();
  (void)::syscall(SYS_pidfd_send_signal, kProgramFd, SIGKILL, nullptr, 0);
  return done ? 0 : 1;
}

}  // namespace conode::egress
