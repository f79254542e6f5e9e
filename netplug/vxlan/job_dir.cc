// SPDX-License-Identifier: Apache-2.0
#include "netplug/vxlan/job_dir.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "agent/base/file.h"

namespace conode {
namespace {

constexpr const char* kSettings = "vxlan.settings";
constexpr const char* kUnfinished = "vxlan.settings.new";  // replace_file()'s
constexpr const char* kLock = "vxlan.lock";
constexpr mode_t kForAll = 0755;
constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

// Nobody but us can put something into it.
Result<UniqueFd> open_own(int dir, const std::string& name) {
  const std::string what = fmt::format("use directory '{}'", name);
  UniqueFd fd = TRY_AS(what, open_at(dir, name, kDirectory));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return errno_failure(what);
  if (status.st_uid != ::geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return code_failure(EPERM, what + ": it has to be its caller's own, and only his to write");
  return fd;
}

Result<void> unlink_in(int dir, const char* name) {
  if (::unlinkat(dir, name, 0) == 0 || errno == ENOENT) return {};
  return errno_failure(fmt::format("remove '{}'", name));
}

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// 0: nobody.
Result<pid_t> holder_of(int fd) {
  struct flock lock = whole_file();
  if (::fcntl(fd, F_GETLK, &lock) != 0) return errno_failure("look at the keeper's lock");
  if (lock.l_type == F_UNLCK) return 0;
  if (lock.l_pid <= 0)
    return code_failure(ESRCH, "the keeper is not in this PID namespace: call from where it is");
  return lock.l_pid;
}

}  // namespace

Result<HookDirectory> HookDirectory::open(const std::string& path) {
  TRY(make_dir(path, kForAll));
  UniqueFd fd = TRY(open_own(AT_FDCWD, path));
  if (::flock(fd.get(), LOCK_EX) != 0) return errno_failure(fmt::format("lock '{}'", path));
  return HookDirectory(std::move(fd));
}

Result<VxlanJobDir> VxlanJobDir::make(const HookDirectory& hooks, const std::string& job) {
  if (!is_job_id(job)) return code_failure(EINVAL, "job id");
  TRY(make_dir(job, kForAll, hooks.fd()));
  return VxlanJobDir(hooks.fd(), job, TRY(open_own(hooks.fd(), job)));
}

Result<std::optional<VxlanJobDir>> VxlanJobDir::find(const HookDirectory& hooks,
                                                     const std::string& job) {
  if (!is_job_id(job)) return code_failure(EINVAL, "job id");
  Result<UniqueFd> fd = open_own(hooks.fd(), job);
  if (!fd && fd.error().is(std::errc::no_such_file_or_directory)) return std::nullopt;
  if (!fd) return tl::make_unexpected(std::move(fd).error());
  return VxlanJobDir(hooks.fd(), job, std::move(*fd));
}

Result<std::optional<std::string>> VxlanJobDir::settings_text() const {
  return read_file_if_exists(kSettings, fd());
}

Result<std::optional<VxlanSettings>> VxlanJobDir::settings() const {
  const std::optional<std::string> text = TRY(settings_text());
  if (!text) return std::nullopt;
  return TRY_AS(fmt::format("read '{}'", kSettings), parse_vxlan_settings(*text));
}

Result<void> VxlanJobDir::write(const VxlanSettings& settings) const {
  constexpr mode_t kReadable = 0644;
  return replace_file(kSettings, to_text(settings), kReadable, fd());
}

Result<void> VxlanJobDir::take_lock() {
  lock_ = TRY(open_at(fd(), kLock, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  struct flock lock = whole_file();
  if (::fcntl(lock_.get(), F_SETLK, &lock) != 0) return errno_failure("take the keeper's lock");
  return {};
}

Result<std::optional<Keeper>> VxlanJobDir::keeper() const {
  Result<UniqueFd> file = open_at(fd(), kLock, O_RDWR | O_NOFOLLOW);
  if (!file && file.error().is(std::errc::no_such_file_or_directory)) return std::nullopt;
  if (!file) return tl::make_unexpected(std::move(file).error());
  const pid_t pid = TRY(holder_of(file->get()));
  if (pid == 0) return std::nullopt;
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd && errno == ESRCH) return std::nullopt;
  if (!pidfd) return errno_failure(fmt::format("open the keeper's process {}", pid));
  // It still had the lock after we had its descriptor: that is not of a later process of that pid.
  if (TRY(holder_of(file->get())) != pid) return std::nullopt;
  return Keeper{pid, std::move(pidfd)};
}

Result<UniqueFd> VxlanJobDir::listen(uid_t user) const {
  constexpr int kBacklog = 8;
  TRY(unlink_in(fd(), kVxlanSocket));
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return errno_failure("make the job's socket");
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = fmt::format("/proc/self/fd/{}/{}", fd(), kVxlanSocket);
  std::strncpy(static_cast<char*>(address.sun_path), path.c_str(), sizeof address.sun_path - 1);
  const mode_t before = ::umask(0177);  // 0600 from its first moment
  const int bound =
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(before);
  if (bound != 0) return code_failure(error, "bind the job's socket");
  if (user != ::geteuid() &&
      ::fchownat(fd(), kVxlanSocket, user, static_cast<gid_t>(-1), AT_SYMLINK_NOFOLLOW) != 0)
    return errno_failure("give the job's socket to its user");
  if (::listen(socket.get(), kBacklog) != 0) return errno_failure("listen at the job's socket");
  return socket;
}

Result<void> VxlanJobDir::remove() const {
  for (const char* name : {kVxlanSocket, kUnfinished, kSettings, kLock}) TRY(unlink_in(fd(), name));
  if (::unlinkat(hooks_, job_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOTEMPTY) return {};
  return errno_failure(fmt::format("remove the directory of job '{}'", job_));
}

}  // namespace conode
