// SPDX-License-Identifier: Apache-2.0
// What this node and this job give: bundle, room for the state, ports, the kind of container.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sched.h>

#include <cstring>

#include "agent/base/file.h"
#include "agent/doctor/doctor.h"
#include "agent/job/job_dir.h"

namespace conode::doctor {
namespace {

Finding bundle(const Environment& e) {
  if (e.bundle_problem.empty()) return {"bundle", Verdict::ok, e.bundle, {}, {}};
  return {"bundle", Verdict::missing, e.bundle_problem, "there is no Kubernetes to start",
          "conode bundle build   # or 'conode bundle unpack ARCHIVE', or --bundle DIR"};
}

// The nearest directory of the path that exists.
std::string existing(std::string path) {
  while (path.size() > 1 && !exists(path)) path.resize(path.rfind('/') == 0 ? 1 : path.rfind('/'));
  return path;
}

// Why nobody but us can write there, or that we can at all; empty: all is well.
std::string state_problem(const std::string& base) {
  struct stat st {};
  const std::string dir = existing(base);
  if (::lstat(dir.c_str(), &st) != 0) return fmt::format("'{}': {}", dir, std::strerror(errno));
  if (!S_ISDIR(st.st_mode)) return fmt::format("'{}' is no directory", dir);
  if (dir == base && st.st_uid != ::geteuid())
    return fmt::format("'{}' belongs to user {}", dir, st.st_uid);
  if (::access(dir.c_str(), W_OK | X_OK) != 0)
    return fmt::format("'{}' cannot be written: {}", dir, std::strerror(errno));
  return {};
}

Finding state_directory(const Environment& e) {
  constexpr uint64_t kWanted = 2ULL << 30U;
  const std::string remedy = "set --state-dir to a directory of your own on a node-local disk";
  if (const std::string problem = state_problem(e.state_base); !problem.empty())
    return {"state directory", Verdict::missing, problem, "there is no place for the state",
            remedy};
  struct statvfs fs {};
  (void)::statvfs(existing(e.state_base).c_str(), &fs);
  const uint64_t free = static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
  const std::string text = fmt::format("'{}': {} MiB free", e.state_base, free >> 20U);
  if (free >= kWanted) return {"state directory", Verdict::ok, text, {}, {}};
  return {"state directory", Verdict::degraded, text, "images and etcd may not fit", remedy};
}

Finding state_file_system(const Environment& e) {
  const Result<void> checked = job::check_file_system(existing(e.state_base));
  if (checked) return {"state file system", Verdict::ok, "node-local", {}, {}};
  if (e.network_file_system)
    return {"state file system", Verdict::degraded, "on the network, which you accept",
            "databases and overlays are slow, locks may fail", checked.error().remedy};
  return {"state file system", Verdict::missing, checked.error().message(),
          "sockets, locks and subordinate ids do not work there", checked.error().remedy};
}

Finding loopback_port(const Environment& e) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  address.sin_port = ::htons(e.api_port);
  const std::string port = e.api_port == 0 ? "a free one" : std::to_string(e.api_port);
  if (fd && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
    return {"loopback port", Verdict::ok, port + " can be taken", {}, {}};
  const std::string found = fmt::format("127.0.0.1, {}: {}", port, std::strerror(errno));
  return {"loopback port", Verdict::missing, found,
          "kubectl on the host cannot reach the API server",
          e.api_port == 0 ? "sysctl -w net.ipv4.ip_local_port_range='32768 60999'"
                          : "leave --api-port away: conode takes a free one"};
}

// Whether a fresh /proc can be mounted: container engines that mask /proc forbid it.
Finding nested_container() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) != 0) ::_exit(0);  // told elsewhere
    const pid_t inner = ::fork();
    if (inner == 0)
      ::_exit(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0 ? 0
                                                                                               : 1);
    int status = 0;
    (void)::waitpid(inner, &status, 0);
    ::_exit(WEXITSTATUS(status));
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 0)
    return {"nested container", Verdict::missing, "a new /proc cannot be mounted",
            "we are inside a container that masks /proc: the sandbox cannot be made",
            "start the outer container with an unmasked /proc (podman: --security-opt unmask=ALL)"};
  const bool inside = exists("/.dockerenv") || exists("/run/.containerenv");
  return {"nested container", Verdict::ok, inside ? "in a container that allows it" : "no", {}, {}};
}

Finding memory() {
  constexpr long kWanted = 2L << 20;  // KiB
  const std::string text = read_file("/proc/meminfo").value_or("");
  const size_t at = text.find("MemAvailable:");
  const long free = at == std::string::npos ? 0 : std::strtol(text.c_str() + at + 13, nullptr, 10);
  const std::string found = fmt::format("{} MiB available", free >> 10);
  if (free >= kWanted) return {"memory", Verdict::ok, found, {}, {}};
  return {"memory", Verdict::degraded, found, "the control plane takes about 600 MiB",
          "ask the batch system for more memory"};
}

}  // namespace

std::vector<Finding> examine_node(const Environment& e) {
  return {bundle(e),        state_directory(e), state_file_system(e),
          loopback_port(e), nested_container(), memory()};
}

}  // namespace conode::doctor
