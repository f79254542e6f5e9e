// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor/attempt.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace conode::doctor {
namespace {

bool put(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool all = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  (void)::close(fd);
  return all;
}

int enter(int flags) {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(flags) != 0) return errno;
  if ((flags & CLONE_NEWUSER) == 0) return 0;
  const bool mapped = put("/proc/self/setgroups", "deny") &&
                      put("/proc/self/uid_map", fmt::format("0 {} 1", uid)) &&
                      put("/proc/self/gid_map", fmt::format("0 {} 1", gid));
  return mapped ? 0 : errno;
}

}  // namespace

int attempt(int flags, const std::function<int()>& deed) {
  const pid_t pid = ::fork();
  if (pid < 0) return errno;
  if (pid == 0) {
    const int entered = enter(flags);
    ::_exit(entered != 0 ? entered : deed());
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

}  // namespace conode::doctor
