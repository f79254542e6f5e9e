// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/local.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "agent/base/file.h"
#include "agent/launch/ticket_file.h"
#include "agent/sandbox/id_map.h"
#include "netplug/link/link.h"
#include "netplug/link/netns.h"
#include "netplug/link/route.h"

namespace conode::launch {
namespace {

constexpr const char* kBridge = "fabric";
constexpr const char* kHostLink = "eth0";
// RFC 2544's range for tests of network devices: no site routes it.
constexpr uint32_t kFabric = (198U << 24U) | (18U << 16U);
constexpr int kFabricLength = 16;

Ipv4Address address_of(uint32_t rank) { return {kFabric + rank + 1}; }

// A child that stays outside writes the maps: newuidmap(1) is of no use inside.
class OutsideMapper {
 public:
  [[nodiscard]] static Result<OutsideMapper> start() {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return errno_failure("pipe");
    const UniqueFd read_end(pipe[0]);
    UniqueFd write_end(pipe[1]);
    const pid_t pid = ::fork();
    if (pid < 0) return errno_failure("fork");
    if (pid > 0) return OutsideMapper(pid, std::move(write_end));
    write_end.reset();
    char byte = 0;
    if (::read(read_end.get(), &byte, 1) != 1) ::_exit(1);
    Result<IdMap> map = id_map_of_user();
    if (!map) ::_exit(2);
    ::_exit(write_id_map(::getppid(), to_themselves(std::move(*map))) ? 0 : 3);
  }

  [[nodiscard]] Result<void> map() {
    TRY(write_all(go_.get(), "g", "go"));
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) return errno_failure("wait for the id mapper");
    if (status == 0) return {};
    return failure("map the ids of the local nodes' user namespace",
                   "'conode doctor' says what is wrong with the subordinate ids");
  }

 private:
  OutsideMapper(pid_t pid, UniqueFd go) : pid_(pid), go_(std::move(go)) {}

  // Paths, sockets and cgroups stay the user's, and the agents are no root.
  static IdMap to_themselves(IdMap map) {
    for (std::vector<IdRange>* ranges : {&map.uids, &map.gids})
      for (IdRange& range : *ranges) range.inside = range.outside;
    return map;
  }

  pid_t pid_;
  UniqueFd go_;
};

Result<void> enter_user_namespace() {
  OutsideMapper mapper = TRY(OutsideMapper::start());
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
    return Failure(errno_failure("make the local nodes' namespaces: unshare")
                       .value()
                       .with_remedy("'conode doctor' says what forbids user namespaces"));
  return mapper.map();
}

// An agent writes the id maps of its own sandbox: for the calling thread, and what it executes.
Result<void> keep_id_capabilities() {
  constexpr std::array<int, 2> kKept{CAP_SETUID, CAP_SETGID};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return errno_failure("capget");
  for (const int capability : kKept) data[0].inheritable |= 1U << static_cast<unsigned>(capability);
  if (::syscall(SYS_capset, &header, data.data()) != 0) return errno_failure("capset");
  for (const int capability : kKept)
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0)
      return errno_failure("raise an ambient capability");
  return {};
}

Result<void> bring_up(Socket& socket, const std::string& name, uint32_t rank) {
  const int link = TRY(link_index(socket, name));
  TRY(set_link_up(socket, link));
  TRY(add_address(socket, link, {address_of(rank), kFabricLength}));
  return {};
}

Result<void> bring_loopback_up(Socket& socket) {
  return set_link_up(socket, TRY(link_index(socket, "lo")));
}

class Local final : public Launcher {
 public:
  explicit Local(uint32_t nodes) : size_(nodes), address_(address_of(0).text()) {
    (void)::sched_getaffinity(0, sizeof affinity_, &affinity_);
  }

  [[nodiscard]] Result<void> make_hosts();
  [[nodiscard]] uint32_t size() const override { return size_; }
  [[nodiscard]] std::string host(uint32_t rank) const override {
    return fmt::format("local host {}", rank);
  }
  [[nodiscard]] const std::string& address() const override { return address_; }
  [[nodiscard]] Result<Process> start(uint32_t rank, const Start& how) override;
  [[nodiscard]] Result<Process> run(uint32_t rank, const Command& command) override;

 private:
  [[nodiscard]] Result<void> make_host(Socket& socket, int bridge, uint32_t rank);
  [[nodiscard]] Result<Process> spawn_on(uint32_t rank, const ProcessOptions& options,
                                         const std::function<Result<void>()>& before);

  uint32_t size_;
  std::string address_;
  cpu_set_t affinity_{};      // of the whole allocation: the agent is bound to a part of it later
  std::vector<Netns> hosts_;  // of ranks 1 and up
};

Result<void> Local::make_hosts() {
  Socket socket = TRY(Socket::open());
  TRY(bring_loopback_up(socket));
  TRY(create_bridge(socket, kBridge));
  TRY(bring_up(socket, kBridge, 0));
  const int bridge = TRY(link_index(socket, kBridge));
  for (uint32_t rank = 1; rank < size_; ++rank)
    TRY_AS(fmt::format("make local host {}", rank), make_host(socket, bridge, rank));
  return {};
}

Result<void> Local::make_host(Socket& socket, int bridge, uint32_t rank) {
  Netns host = TRY(Netns::create());
  const std::string port = fmt::format("host{}", rank);
  TRY(create_veth(socket, {.name = port, .peer_name = kHostLink, .peer_netns = &host}));
  const int link = TRY(link_index(socket, port));
  TRY(set_link_master(socket, link, bridge));
  TRY(set_link_up(socket, link));
  TRY(host.run([&]() -> Result<void> {
    Socket inside = TRY(Socket::open());
    TRY(bring_loopback_up(inside));
    return bring_up(inside, kHostLink, rank);
  }));
  hosts_.push_back(std::move(host));
  return {};
}

// A host name of its own: MPI and others keep files by it.
Result<void> name_host(uint32_t rank) {
  utsname machine{};
  (void)::uname(&machine);
  const std::string name = fmt::format("{:.48}-{}", machine.nodename, rank);
  if (::unshare(CLONE_NEWUTS) != 0 || ::sethostname(name.data(), name.size()) != 0)
    return errno_failure(fmt::format("name local host {}", rank));
  return {};
}

Result<Process> Local::spawn_on(uint32_t rank, const ProcessOptions& options,
                                const std::function<Result<void>()>& before) {
  return hosts_.at(rank - 1).run([&]() -> Result<Process> {
    TRY(name_host(rank));
    TRY(before());
    return Process::spawn(options);
  });
}

Result<Process> Local::start(uint32_t rank, const Start& how) {
  const UniqueFd standard_input = TRY(ticket_file(how.ticket));
  const ProcessOptions options{.argv = {"/proc/self/exe", "agent"},
                               .fds = {{0, standard_input.get()}, {1, how.log}, {2, how.log}},
                               .affinity = affinity_,
                               .cgroup = how.cgroup,
                               .new_session = true};
  return spawn_on(rank, options, keep_id_capabilities);
}

Result<Process> Local::run(uint32_t rank, const Command& command) {
  const ProcessOptions options{.argv = command.argv,
                               .environment = command.environment,
                               .working_dir = command.working_dir,
                               .fds = command.fds,
                               .affinity = affinity_,
                               .new_session = true};
  if (rank == 0) return Process::spawn(options);
  return spawn_on(rank, options, [] { return Result<void>(); });
}

}  // namespace

Result<std::unique_ptr<Launcher>> make_local(const Options& options) {
  auto local = std::make_unique<Local>(options.nodes);
  TRY(enter_user_namespace());
  TRY(local->make_hosts());
  return local;
}

}  // namespace conode::launch
