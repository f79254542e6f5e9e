// SPDX-License-Identifier: Apache-2.0
// What the hook keeps of a job's VXLAN: a directory that only root writes to, with the settings, a
// lock and the socket. The lock is held by the job's keeper for as long as it lives, so whoever is
// asked for by it is that process, whatever pids were reused. One thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "netplug/vxlan/settings.h"

namespace conode {

// Serializes the hook's calls on a host, from now on until it goes.
class HookDirectory {
 public:
  // Made where it is absent. Refused (EPERM) where somebody else owns it or may write to it, or
  // where it is no directory but leads to one.
  [[nodiscard]] static Result<HookDirectory> open(const std::string& path);
  [[nodiscard]] int fd() const { return fd_.get(); }
  // As if it went. After a fork both processes have to.
  void release() { fd_.reset(); }

 private:
  explicit HookDirectory(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// The process that holds the lock.
struct Keeper {
  pid_t pid = 0;
  UniqueFd pidfd;
};

class VxlanJobDir {
 public:
  [[nodiscard]] static Result<VxlanJobDir> make(const HookDirectory& hooks, const std::string& job);
  [[nodiscard]] static Result<std::optional<VxlanJobDir>> find(const HookDirectory& hooks,
                                                               const std::string& job);

  // Empty: none were written.
  [[nodiscard]] Result<std::optional<std::string>> settings_text() const;
  [[nodiscard]] Result<std::optional<VxlanSettings>> settings() const;
  [[nodiscard]] Result<void> write(const VxlanSettings& settings) const;
  // Held until the calling process ends. Fails (EAGAIN) where somebody has it.
  [[nodiscard]] Result<void> take_lock();
  [[nodiscard]] Result<std::optional<Keeper>> keeper() const;
  // Listens at kVxlanSocket, which only `user` and root may connect to.
  [[nodiscard]] Result<UniqueFd> listen(uid_t user) const;
  // Everything of the VXLAN's; the directory too, unless others have something in it.
  [[nodiscard]] Result<void> remove() const;

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  VxlanJobDir(int hooks, std::string job, UniqueFd fd)
      : hooks_(hooks), job_(std::move(job)), fd_(std::move(fd)) {}
  int hooks_;
  std::string job_;
  UniqueFd fd_;
  UniqueFd lock_;
};

}  // namespace conode
