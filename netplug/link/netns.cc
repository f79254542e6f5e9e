// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/netns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <thread>

#include "agent/base/file.h"

namespace conode {
namespace {

constexpr const char* kOwn = "/proc/thread-self/ns/net";

Result<void> on_new_thread(const std::function<void()>& body) {
  try {
    std::thread(body).join();
  } catch (const std::system_error& e) {
    return code_failure(e.code().value(), "start a thread");
  }
  return {};
}

}  // namespace

Result<Netns> Netns::open(const std::string& path) {
  const auto what = [&] { return fmt::format("open the network namespace '{}'", path); };
  // O_NONBLOCK: a FIFO in its place must not hang us.
  UniqueFd fd = TRY_AS("network namespace", open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK));
  const int type = ::ioctl(fd.get(), NS_GET_NSTYPE);
  if (type < 0 && errno != ENOTTY) return errno_failure(what());
  if (type != CLONE_NEWNET) return code_failure(EINVAL, what() + ": not a network namespace");
  return Netns(std::move(fd));
}

Result<Netns> Netns::adopt(UniqueFd fd) {
  // First: other file systems have ioctls of their own with that number.
  struct statfs where {};
  if (::fstatfs(fd.get(), &where) != 0) return errno_failure("look at a network namespace");
  if (where.f_type != NSFS_MAGIC || ::ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
    return code_failure(EINVAL, "the descriptor is not a network namespace");
  return Netns(std::move(fd));
}

Result<Netns> Netns::current() { return open(kOwn); }

Result<Netns> Netns::create() {
  std::optional<Result<Netns>> made;
  TRY(on_new_thread([&made] {
    if (::unshare(CLONE_NEWNET) != 0) {
      made.emplace(errno_failure("create a network namespace"));
    } else {
      made.emplace(open(kOwn));
    }
  }));
  return std::move(*made);
}

namespace {

Result<UniqueFd> user_namespace_of(int netns) {
  UniqueFd user(::ioctl(netns, NS_GET_USERNS));
  if (!user) return errno_failure("find the user namespace of a network namespace");
  return user;
}

Result<bool> same_file(int a, int b) {
  struct stat first {};
  struct stat second {};
  if (::fstat(a, &first) != 0 || ::fstat(b, &second) != 0) return errno_failure("stat a namespace");
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

Result<bool> Netns::is(const Netns& other) const { return same_file(fd(), other.fd()); }

Result<bool> Netns::shares_user_namespace(const Netns& other) const {
  const UniqueFd ours = TRY(user_namespace_of(fd()));
  const UniqueFd theirs = TRY(user_namespace_of(other.fd()));
  return same_file(ours.get(), theirs.get());
}

Result<uid_t> Netns::owner() const {
  const UniqueFd user = TRY(user_namespace_of(fd()));
  uid_t uid = 0;
  if (::ioctl(user.get(), NS_GET_OWNER_UID, &uid) != 0)
    return errno_failure("find the owner of a user namespace");
  return uid;
}

Result<void> Netns::run_inside(const std::function<void()>& body) const {
  Result<void> entered;
  TRY(on_new_thread([&] {
    if (::setns(fd(), CLONE_NEWNET) != 0) {
      entered = errno_failure("enter a network namespace");
    } else {
      body();
    }
  }));
  return entered;
}

}  // namespace conode
