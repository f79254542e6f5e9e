// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/netns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

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

Result<bool> Netns::is(const Netns& other) const {
  struct stat ours {};
  struct stat theirs {};
  if (::fstat(fd(), &ours) != 0 || ::fstat(other.fd(), &theirs) != 0)
    return errno_failure("stat a network namespace");
  return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
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
