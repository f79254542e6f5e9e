// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cni_world.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>

#include "agent/base/file.h"
#include "agent/base/pipe.h"

namespace conode::test {
namespace {}  // namespace

Result<void> enter_private_namespaces() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0)
    return errno_failure("make user, network and mount namespaces");
  TRY(write_value("/proc/self/setgroups", "deny"));
  TRY(write_value("/proc/self/uid_map", fmt::format("0 {} 1", uid)));
  TRY(write_value("/proc/self/gid_map", fmt::format("0 {} 1", gid)));
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return errno_failure("make the mount tree private");
  return {};
}

Result<Container> Container::create(const std::string& dir, const std::string& id) {
  Container made;
  made.id_ = id;
  made.path_ = dir + "/" + id;
  made.netns_ = TRY(Netns::create());
  TRY(open_at(AT_FDCWD, made.path_, O_WRONLY | O_CREAT | O_EXCL, 0600));
  const std::string source = fmt::format("/proc/self/fd/{}", made.netns_->fd());
  if (::mount(source.c_str(), made.path_.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return errno_failure(fmt::format("mount a network namespace on '{}'", made.path_));
  return made;
}

void Container::remove() {
  if (path_.empty()) return;
  (void)::umount2(path_.c_str(), MNT_DETACH);
  (void)::unlink(path_.c_str());
  path_.clear();
  netns_.reset();
}

bool CniAnswer::ok() const {
  const auto* exited = std::get_if<Exited>(&status);
  return exited != nullptr && exited->code == 0;
}

nlohmann::json CniAnswer::json() const {
  nlohmann::json document = nlohmann::json::parse(output, nullptr, false);
  return document.is_discarded() ? nlohmann::json() : document;
}

int CniAnswer::code() const {
  const nlohmann::json document = json();
  return document.is_object() ? document.value("code", 0) : 0;
}

Result<RunningPlugin> RunningPlugin::start(const CniCall& call) {
  Pipe input = TRY(make_pipe());
  Pipe output = TRY(make_pipe());
  if (!call.output.empty()) output.in = TRY(open_at(AT_FDCWD, call.output, O_WRONLY));
  ProcessOptions options;
  options.argv = {call.program};
  options.environment = {"CNI_COMMAND=" + call.command, "CNI_CONTAINERID=" + call.container,
                         "CNI_NETNS=" + call.netns, "CNI_IFNAME=" + call.interface,
                         "CNI_PATH=" + call.path};
  options.fds = {{0, input.out.get()}, {1, output.in.get()}};
  Process process = TRY(Process::spawn(options));
  input.out.reset();
  if (const Result<void> written = write_all(input.in.get(), call.input, "standard input");
      !written && !written.error().is(std::errc::broken_pipe))
    return tl::make_unexpected(written.error());
  return RunningPlugin(std::move(process), std::move(output.out));
}

Result<CniAnswer> RunningPlugin::wait() {
  CniAnswer answer;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_failure("read a plugin's output");
    if (n == 0) break;
    answer.output.append(buffer.data(), static_cast<size_t>(n));
  }
  answer.status = TRY(process_.wait());
  return answer;
}

Result<CniAnswer> call_plugin(const CniCall& call) {
  RunningPlugin plugin = TRY(RunningPlugin::start(call));
  return plugin.wait();
}

}  // namespace conode::test
