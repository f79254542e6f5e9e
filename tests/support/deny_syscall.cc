// SPDX-License-Identifier: Apache-2.0
// deny_syscall NAME[,NAME...] ERRNO COMMAND...: runs the command as on a kernel or site that
// refuses these system calls (seccomp(2)); clone and clone3 only where they ask for a user
// namespace, so that the command itself still runs.
#include <linux/sched.h>
#include <seccomp.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <string>

namespace {

int add_rule(scmp_filter_ctx filter, const std::string& name, int error) {
  const int number = ::seccomp_syscall_resolve_name(name.c_str());
  if (number == __NR_SCMP_ERROR) return -EINVAL;
  const uint32_t action = SCMP_ACT_ERRNO(static_cast<uint16_t>(error));
  if (name == "clone" || name == "unshare")
    return ::seccomp_rule_add(filter, action, number, 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
  return ::seccomp_rule_add(filter, action, number, 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: deny_syscall NAME[,NAME...] EPERM|ENOSYS COMMAND...\n");
    return 2;
  }
  const int error = std::strcmp(argv[2], "ENOSYS") == 0 ? ENOSYS : EPERM;
  scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
  std::istringstream names(argv[1]);
  for (std::string name; std::getline(names, name, ',');)
    if (const int failed = add_rule(filter, name, error); failed != 0) {
      std::fprintf(stderr, "deny_syscall: %s: %s\n", name.c_str(), std::strerror(-failed));
      return 2;
    }
  if (::seccomp_load(filter) != 0) return 2;
  ::seccomp_release(filter);
  ::execvp(argv[3], argv + 3);
  std::perror(argv[3]);
  return 127;
}
