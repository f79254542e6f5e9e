// SPDX-License-Identifier: Apache-2.0
// conode-init: PID 1 of the sandbox. Sets the sandbox up in a flat list of steps, then starts the
// processes that the agent names, reaps everything, and reports. No threads. When the agent is gone
// (PR_SET_PDEATHSIG, or the end of the control socket) it exits, and with PID 1 the kernel ends
// every process of the PID namespace: the whole cluster.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <map>
#include <sstream>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/egress/attendant.h"
#include "agent/sandbox/affinity_guard.h"
#include "agent/sandbox/init_mounts.h"
#include "agent/sandbox/protocol.h"
#include "agent/sandbox/vxlan_attendant.h"
#include "netplug/link/sandbox_network.h"
#include "netplug/uplink/tun.h"

namespace conode::sandbox {
namespace {

using Settings = std::map<std::string, std::string>;

Settings parse_settings(const std::vector<std::string>& strings) {
  Settings settings;
  for (const std::string& s : strings) {
    const size_t equals = s.find('=');
    if (equals != std::string::npos) settings[s.substr(0, equals)] = s.substr(equals + 1);
  }
  return settings;
}

Result<void> raise_limits() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return errno_failure("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return errno_failure("setrlimit");
  return {};
}

// Services live in leaves below the cgroup namespace's root, so that the root stays empty and may
// enable controllers; this process goes to its own leaf first.
Result<void> settle_in_cgroup(bool controllers) {
  const std::string root = "/sys/fs/cgroup";
  for (const char* leaf : {"/init", "/services", "/pods"}) TRY(make_dir(root + leaf, 0755));
  TRY(write_value(root + "/init/cgroup.procs", "0"));
  if (!controllers) return {};
  std::string available = TRY(read_file(root + "/cgroup.controllers"));
  for (size_t at = 0; at < available.size();) {
    const size_t end = std::min(available.find_first_of(" \n", at), available.size());
    const std::string name = available.substr(at, end - at);
    if (!name.empty()) TRY(write_value(root + "/cgroup.subtree_control", "+" + name));
    at = end + 1;
  }
  return {};
}

// The relay's TUN device: its queues go to the agent, whose relay reads and writes them.
Result<void> open_relay_device(const Settings& settings) {
  TunOptions options;
  options.queues = std::stoul(settings.at("tun_queues"));
  if (options.queues == 0) return {};
  options.node_address = settings.at("node_address");
  std::istringstream routes(settings.at("tun_routes"));
  for (std::string route; std::getline(routes, route, ',');) options.routes.push_back(route);
  TunQueues tun = TRY(open_tun(options));
  uint32_t queue = 0;
  for (UniqueFd& fd : tun.fds) TRY(send(kControlFd, {Kind::tun, queue++, 0, {}, std::move(fd)}));
  return {};
}

Result<void> set_up(const Settings& settings) {
  const std::string& level = settings.at("level");
  const std::string& host_name = settings.at("hostname");
  const bool cgroups = level != "affinity";
  if (::unshare(CLONE_NEWCGROUP) != 0) return errno_failure("unshare the cgroup namespace");
  if (::sethostname(host_name.c_str(), host_name.size()) != 0)
    return errno_failure("set the host name");
  TRY(make_mounts({.state_dir = settings.at("state_dir"),
                   .bundle_dir = settings.at("bundle_dir"),
                   .libexec_dir = settings.at("libexec_dir"),
                   .resolver = settings.at("resolver"),
                   .cgroups = cgroups}));
  TRY(raise_limits());
  if (cgroups) TRY(settle_in_cgroup(level == "controllers"));
  TRY(setup_sandbox_network({.node_address = settings.at("node_address"),
                             .prefix_length = std::stoi(settings.at("node_prefix_length")),
                             .pod_prefix = settings.at("pod_prefix"),
                             .mtu = std::stoi(settings.at("mtu"))}));
  TRY(open_relay_device(settings));
  if (level != "controllers") TRY(forbid_affinity_changes());
  return {};
}

class Init {
 public:
  explicit Init(bool cgroups) : cgroups_(cgroups) {}

  // Until the agent is gone.
  Result<void> run();

 private:
  Result<void> handle(Message message);
  void start(Message message);
  static void make_socket(uint32_t request, int type);
  Result<UniqueFd> leaf_of(const std::string& service);
  void reap();
  static void reply(const Message& message) { (void)send(kControlFd, message); }

  bool cgroups_;
  std::map<pid_t, uint32_t> services_;
};

Result<UniqueFd> Init::leaf_of(const std::string& service) {
  const std::string path = "/sys/fs/cgroup/services/" + service;
  TRY(make_dir(path, 0755));
  return open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY);
}

void Init::start(Message message) {
  const auto argc = static_cast<size_t>(message.value);
  ProcessOptions options;
  options.argv.assign(message.strings.begin() + 1,
                      message.strings.begin() + 1 + static_cast<ptrdiff_t>(argc));
  options.environment.emplace(message.strings.begin() + 1 + static_cast<ptrdiff_t>(argc),
                              message.strings.end());
  options.working_dir = "/";
  options.new_session = true;
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  options.fds = {{0, null.get()}, {1, message.fd.get()}, {2, message.fd.get()}};
  UniqueFd leaf;
  if (cgroups_) {
    Result<UniqueFd> opened = leaf_of(message.strings[0]);
    if (opened) leaf = std::move(*opened);
    options.cgroup = leaf ? leaf.get() : -1;
  }
  Result<Process> child = Process::spawn(options);
  if (!child) {
    const Error& error = child.error();
    reply({Kind::failed, message.id, error.code.value(), {error.context}, {}});
    return;
  }
  services_[child->pid()] = message.id;
  reply({Kind::started, message.id, child->pid(), {}, {}});
  child->detach();  // reap() waits for everybody
}

// A socket of the sandbox's network namespace: the agent connects it and keeps it.
void Init::make_socket(uint32_t request, int type) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const int error = fd ? 0 : errno;
  reply({Kind::socket_made, request, error, {}, std::move(fd)});
}

Result<void> Init::handle(Message message) {
  switch (message.kind) {
    case Kind::start:
      start(std::move(message));
      return {};
    case Kind::signal:
      for (const auto& [pid, service] : services_)
        if (service == message.id) (void)::kill(pid, message.value);
      return {};
    case Kind::socket:
      make_socket(message.id, message.value);
      return {};
    default:
      return code_failure(EPROTO, "message from the agent");
  }
}

void Init::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto service = services_.find(pid);
    if (service == services_.end()) continue;  // an orphan of a service or a shim
    reply({Kind::exited, service->second, status, {}, {}});
    services_.erase(service);
  }
}

Result<void> Init::run() {
  sigset_t mask;
  ::sigemptyset(&mask);
  ::sigaddset(&mask, SIGCHLD);
  if (::sigprocmask(SIG_BLOCK, &mask, nullptr) != 0) return errno_failure("block SIGCHLD");
  const UniqueFd signals(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return errno_failure("signalfd");
  reply({Kind::up, 0, 0, {}, {}});
  for (;;) {
    std::array<pollfd, 2> fds{pollfd{kControlFd, POLLIN, 0}, pollfd{signals.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return errno_failure("poll");
    if (fds[1].revents != 0) {
      signalfd_siginfo info{};
      while (::read(signals.get(), &info, sizeof info) > 0) continue;
      reap();
    }
    if (fds[0].revents != 0) {
      std::optional<Message> message = TRY(receive(kControlFd));
      if (!message) return {};  // the agent is gone
      TRY(handle(std::move(*message)));
    }
  }
}

// A descriptor is held for each level of the tree.
int remove(const char* path) { return raise_limits() && remove_tree(path) ? 0 : 1; }

int main_loop() {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return 1;
  (void)::fcntl(kControlFd, F_SETFD, FD_CLOEXEC);
  Result<std::optional<Message>> first = receive(kControlFd);
  if (!first || !*first || (*first)->kind != Kind::setup) return 1;
  const Settings settings = parse_settings((*first)->strings);
  Result<void> done = set_up(settings);
  if (done) done = Init(settings.at("level") != "affinity").run();
  if (done) return 0;
  const Error& error = done.error();
  (void)send(kControlFd, {Kind::failed, 0, error.code.value(), {error.context, error.remedy}, {}});
  return 1;
}

}  // namespace
}  // namespace conode::sandbox

// `conode-init` is the init; `conode-init remove PATH` is rm -rf as the namespace's root;
// `conode-init egress ...` see agent/egress/attendant.h, `vxlan ...` see vxlan_attendant.h.
int main(int argc, char** argv) {
  // Not the user's mask: processes of other ids have to pass through directories made here.
  ::umask(022);
  try {
    if (argc == 3 && std::string_view(argv[1]) == "remove") return conode::sandbox::remove(argv[2]);
    if (argc > 2 && std::string_view(argv[1]) == "egress")
      return conode::egress::attend({argv + 2, argv + argc});
    if (argc > 2 && std::string_view(argv[1]) == "vxlan")
      return conode::sandbox::attend_vxlan({argv + 2, argv + argc});
    return conode::sandbox::main_loop();
  } catch (const std::exception&) {
    return 70;  // EX_SOFTWARE: out of memory or a malformed setting
  }
}
