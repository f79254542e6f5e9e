// SPDX-License-Identifier: Apache-2.0
#include "tests/support/vxlan_world.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "agent/base/file.h"
#include "agent/base/pipe.h"
#include "agent/sandbox/id_map.h"
#include "netplug/link/link.h"
#include "netplug/link/nft.h"
#include "netplug/link/route.h"

namespace conode::test {
namespace {

constexpr const char* kRunDir = "/run";

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = ::read(fd, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<size_t>(n));
  return text;
}

// A child that maps our ids once we have a user namespace.
Result<void> enter_user_namespace() {
  const IdMap map = TRY(id_map_of_user());
  if (!map.subordinate) return failure("the user has no subordinate ids");
  Pipe ready = TRY(make_pipe());
  const pid_t self = ::getpid();
  const pid_t mapper = ::fork();
  if (mapper < 0) return errno_failure("fork");
  if (mapper == 0) {
    ready.in.reset();
    (void)read_to_end(ready.out.get());
    ::_exit(write_id_map(self, map) ? 0 : 1);
  }
  if (::unshare(CLONE_NEWUSER) != 0) return errno_failure("make a user namespace");
  ready.in.reset();
  int status = 0;
  if (::waitpid(mapper, &status, 0) != mapper || status != 0) return failure("map the ids");
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) return errno_failure("become root");
  return {};
}

Result<void> become(uid_t uid) {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
      ::setresuid(uid, uid, uid) != 0)
    return errno_failure(fmt::format("become user {}", uid));
  // So that we may look at its namespaces: the program was started outside of our user namespace.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return errno_failure("become dumpable");
  return {};
}

Result<void> set_address(const Netns& netns, const std::string& name, const std::string& address) {
  Socket socket = TRY(Socket::open(netns));
  const std::optional<Link> link = TRY(find_link(socket, name));
  if (!link) return failure("there is no link " + name);
  TRY(set_link_up(socket, link->index));
  TRY(add_address(socket, link->index, TRY(Ipv4Prefix::parse(address))));
  return {};
}

}  // namespace

Result<void> become_root_of_hosts() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return errno_failure("adopt orphans");
  if (::geteuid() != 0) TRY(enter_user_namespace());
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return errno_failure("make namespaces");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return errno_failure("make the mount tree private");
  // All users can reach a keeper in /run, which they cannot in a $TMPDIR of mode 0700.
  if (::mount("tmpfs", kRunDir, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0)
    return errno_failure(fmt::format("mount a tmpfs at '{}'", kRunDir));
  return {};
}

Result<std::string> run_as(uid_t uid, const std::function<Result<std::string>()>& fn) {
  Pipe answer = TRY(make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return errno_failure("fork");
  if (pid == 0) {
    Result<void> done = become(uid);
    const Result<std::string> said = done ? fn() : tl::make_unexpected(done.error());
    (void)write_all(answer.in.get(), said ? "+" + *said : "-" + said.error().message(), "pipe");
    ::_exit(0);
  }
  answer.in.reset();
  const std::string text = read_to_end(answer.out.get());
  (void)::waitpid(pid, nullptr, 0);
  if (text.empty() || text[0] != '+') return failure(text.substr(std::min<size_t>(1, text.size())));
  return text.substr(1);
}

Result<UserNetns> UserNetns::create(uid_t uid) {
  Pipe made = TRY(make_pipe());
  Pipe looked_at = TRY(make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return errno_failure("fork");
  if (pid == 0) {
    looked_at.in.reset();
    const bool done = become(uid) && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    if (done) (void)write_all(made.in.get(), "+", "pipe");
    made.in.reset();
    (void)read_to_end(looked_at.out.get());
    ::_exit(0);
  }
  made.in.reset();
  const bool done = read_to_end(made.out.get()) == "+";
  Result<Netns> netns = Netns::open(fmt::format("/proc/{}/ns/net", pid));
  Result<UniqueFd> user = open_at(AT_FDCWD, fmt::format("/proc/{}/ns/user", pid), O_RDONLY);
  looked_at.in.reset();
  (void)::waitpid(pid, nullptr, 0);
  if (!done) return failure(fmt::format("user {} can make no namespaces", uid));
  return UserNetns(TRY(std::move(netns)), TRY(std::move(user)));
}

std::string VxlanHost::socket(const std::string& job) const {
  return fmt::format("{}/{}/{}", run_dir_, job, kVxlanSocket);
}

std::vector<std::string> VxlanHost::command(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), CONODE_HOOK);
  arguments.insert(arguments.end(), {"--run-dir", run_dir_});
  return arguments;
}

Result<HookRun> VxlanHost::hook(std::vector<std::string> arguments) const {
  Pipe output = TRY(make_pipe());
  Process process = TRY(netns_->run([&] {
    return Process::spawn({.argv = command(std::move(arguments)),
                           .environment = std::vector<std::string>{},
                           .fds = {{1, output.in.get()}, {2, output.in.get()}}});
  }));
  output.in.reset();
  HookRun run;
  run.output = read_to_end(output.out.get());
  run.status = TRY(process.wait());
  return run;
}

Result<HookRun> VxlanHost::down(const std::string& job) const {
  return hook({"vxlan", "down", "--job", job});
}

Result<VxlanLink> VxlanHost::give(const std::string& job, const UserNetns& user,
                                  const std::vector<uint32_t>& peers, uid_t uid) const {
  const std::string text = TRY(run_as(uid, [&]() -> Result<std::string> {
    return to_text(TRY(request_vxlan_end(socket(job), user.netns().fd())));
  }));
  const VxlanEnd end = TRY(parse_vxlan_end(text));
  VxlanLink link = TRY(user.netns().run(
      [&] { return VxlanLink::set_up({.rank = end.rank, .nodes = end.nodes, .pods = end.pods}); }));
  for (const uint32_t peer : peers) TRY(link.add_peer(peer));
  return link;
}

Result<std::string> VxlanHost::rules() const {
  return netns_->run([] { return run_nft({"list", "ruleset"}); });
}

Result<VxlanWorld> VxlanWorld::create(uint32_t hosts) {
  VxlanWorld made(TRY(TempDir::create_in(kRunDir)));
  if (::chmod(made.dir_.path().c_str(), 0755) != 0) return errno_failure("open the directory");
  const Netns fabric = TRY(Netns::current());
  Socket socket = TRY(Socket::open());
  TRY(delete_link(socket, "fabric"));
  TRY(create_bridge(socket, "fabric"));
  const std::optional<Link> bridge = TRY(find_link(socket, "fabric"));
  for (uint32_t rank = 0; rank < hosts; ++rank) {
    VxlanHost& host = made.hosts_.emplace_back();
    host.rank_ = rank;
    host.netns_ = TRY(Netns::create());
    host.address_ = fmt::format("172.31.0.{}", rank + 1);
    host.run_dir_ = fmt::format("{}/host{}", made.dir_.path(), rank);
    const std::string name = fmt::format("h{}", rank);
    TRY(delete_link(socket, name));  // of an earlier world: the kernel takes its time
    TRY(create_veth(socket, {.name = name,
                             .peer_name = "fab0",
                             .mtu = 1500,
                             .peer_netns = &*host.netns_,
                             .master = bridge->index}));
    TRY(set_address(*host.netns_, "lo", "127.0.0.1/8"));
    TRY(set_address(*host.netns_, "fab0", host.address_ + "/24"));
  }
  return made;
}

std::vector<std::string> VxlanWorld::up(const std::string& job, uint32_t rank,
                                        uint32_t size) const {
  std::vector<std::string> arguments{"vxlan",  "up",
                                     "--job",  job,
                                     "--uid",  std::to_string(kJobUser),
                                     "--rank", std::to_string(rank)};
  for (uint32_t peer = 0; peer < size; ++peer)
    arguments.insert(arguments.end(),
                     {"--peer", fmt::format("{}={}", peer, hosts_.at(peer).address())});
  return arguments;
}

int running_children() {
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(-1, &status, WNOHANG)) > 0) continue;
  if (ended < 0) return 0;
  int running = 0;
  const std::string self = fmt::format("/proc/self/task/{}/children", ::getpid());
  const Result<std::string> children = read_file(self);
  if (!children) return 1;
  for (const char c : *children) running += c == ' ' ? 1 : 0;
  return running;
}

}  // namespace conode::test
