// SPDX-License-Identifier: Apache-2.0
// One cgroup v2 directory (kernel: Documentation/admin-guide/cgroup-v2.rst), held by an O_PATH
// descriptor: a path is resolved once, and a directory that is made anew under the same name is
// never taken for the old one. All operations need write permission by delegation only. Blocks
// where it says so; any thread (the object itself by one at a time).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "cgroup/pressure.h"
#include "cgroup/values.h"

namespace conode {

// What became of a request for controllers: one write(2) each, since one write is all or nothing.
struct EnabledControllers {
  std::vector<std::string> took;
  std::vector<Error> refused;
};

class Cgroup {
 public:
  // `path` is absolute. ENOENT where it is absent.
  [[nodiscard]] static Result<Cgroup> open(const std::string& path);

  Cgroup(Cgroup&&) noexcept = default;
  Cgroup& operator=(Cgroup&&) noexcept = default;
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  ~Cgroup() = default;  // the directory stays: remove()

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int fd() const { return fd_.get(); }  // also for CLONE_INTO_CGROUP

  // mkdir of a child; false where it was there already.
  [[nodiscard]] Result<bool> create(const std::string& name) const;
  [[nodiscard]] Result<Cgroup> open_child(const std::string& name) const;
  [[nodiscard]] Result<std::vector<std::string>> children() const;  // names, sorted

  // Moves a whole process (0: the caller) here. ESRCH where it has ended; EBUSY where controllers
  // are enabled for the children (no internal processes); EACCES outside of the delegation.
  [[nodiscard]] Result<void> attach(pid_t pid) const;
  // Of this directory alone. A process outside of our PID namespace is listed as 0.
  [[nodiscard]] Result<std::vector<pid_t>> processes() const;
  [[nodiscard]] Result<std::vector<pid_t>> threads() const;
  // Of this directory and all below, without repetition.
  [[nodiscard]] Result<std::vector<pid_t>> subtree_processes() const;

  // SIGKILL to every process here and below, forks included: cgroup.kill, or before Linux 5.14
  // a signal to each while frozen. They may still be ending on return: wait_empty().
  [[nodiscard]] Result<void> kill() const;
  // Blocks until every thread here and below has stopped (at most `timeout`, then a failure).
  [[nodiscard]] Result<void> freeze(
      std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;
  [[nodiscard]] Result<void> thaw() const;
  [[nodiscard]] Result<bool> populated() const;  // a live process here or below
  // Blocks until no live process is here or below: true; false after `timeout`.
  [[nodiscard]] Result<bool> wait_empty(std::chrono::milliseconds timeout) const;
  // cgroup.events, for an event loop: POLLPRI on a change of populated or frozen. Read it (again
  // from offset 0) before each poll.
  [[nodiscard]] Result<UniqueFd> events_fd() const;

  // rmdir of everything below, depth first, then of this directory. What is gone already is fine;
  // EBUSY where a live process is left.
  [[nodiscard]] Result<void> remove() const;

  // Controllers that are here / that the children have.
  [[nodiscard]] Result<std::vector<std::string>> controllers() const;
  [[nodiscard]] Result<std::vector<std::string>> enabled() const;
  [[nodiscard]] Result<EnabledControllers> enable(const std::vector<std::string>& names) const;
  [[nodiscard]] Result<EnabledControllers> disable(const std::vector<std::string>& names) const;

  // Empty where the kernel keeps no pressure (psi=0, or a file it does not have).
  [[nodiscard]] Result<std::optional<Pressure>> pressure(PressureResource resource) const;

  [[nodiscard]] Result<std::string> read(const std::string& file) const;
  [[nodiscard]] Result<void> write(const std::string& file, std::string_view text) const;
  template <typename T>
  [[nodiscard]] Result<T> read(Value<T> value) const {
    const std::string text = TRY(read(std::string(value.file)));
    return TRY_AS(describe(value.file), parse_value<T>(text));
  }
  template <typename T>
  [[nodiscard]] Result<void> write(Value<T> value, const std::type_identity_t<T>& new_value) const {
    return write(std::string(value.file), format_value(new_value));
  }

 private:
  Cgroup(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  [[nodiscard]] std::string describe(std::string_view what) const;
  [[nodiscard]] Result<EnabledControllers> switch_controllers(
      char sign, const std::vector<std::string>& names) const;
  [[nodiscard]] Result<bool> wait_for(const std::string& key, uint64_t wanted,
                                      std::chrono::milliseconds timeout) const;

  std::string path_;  // for messages, and the name in the parent
  UniqueFd fd_;
};

}  // namespace conode
