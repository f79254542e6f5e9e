// SPDX-License-Identifier: Apache-2.0
// A network namespace, held by a descriptor of its nsfs file (namespaces(7)): it lives at least as
// long as this object. Namespaces belong to threads, so code enters one on a thread of its own and
// never moves a thread that somebody else uses. Move-only; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode {

class Netns {
 public:
  // `path` is /proc/PID/ns/net or a bind mount of one; anything else is refused (EINVAL).
  [[nodiscard]] static Result<Netns> open(const std::string& path);
  // From somebody else: refused (EINVAL) unless it is one.
  [[nodiscard]] static Result<Netns> adopt(UniqueFd fd);
  // The calling thread's.
  [[nodiscard]] static Result<Netns> current();
  // A new, empty one; needs CAP_SYS_ADMIN in the caller's user namespace.
  [[nodiscard]] static Result<Netns> create();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Do both name the same namespace?
  [[nodiscard]] Result<bool> is(const Netns& other) const;
  // Do both belong to the same user namespace?
  [[nodiscard]] Result<bool> shares_user_namespace(const Netns& other) const;
  // The user who made the user namespace that it belongs to (NS_GET_OWNER_UID, ioctl_ns(2)). Both
  // fail (EPERM) where that namespace is neither the caller's nor inside it.
  [[nodiscard]] Result<uid_t> owner() const;

  // Runs `fn`, which returns some Result<T>, inside the namespace on a throw-away thread, and waits
  // for it. Sockets made there stay in the namespace and may be used from any thread.
  template <typename Fn>
  [[nodiscard]] auto run(Fn&& fn) const -> std::invoke_result_t<Fn> {
    std::optional<std::invoke_result_t<Fn>> outcome;
    const Result<void> entered = run_inside([&] { outcome.emplace(fn()); });
    if (!entered) return tl::make_unexpected(entered.error());
    return std::move(*outcome);
  }

 private:
  explicit Netns(UniqueFd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Result<void> run_inside(const std::function<void()>& body) const;

  UniqueFd fd_;
};

}  // namespace conode
