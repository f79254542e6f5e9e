// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/user_mode_vxlan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "netplug/link/link.h"
#include "netplug/link/socket.h"

namespace conode::test {
namespace {

constexpr const char* kPort = "4789";
constexpr const char* kMtu = "1450";  // what Usernetes' flannel takes
constexpr const char* kDevice = "peers0";

const char* tap_of(UserModeVxlan::Program program) {
  return program == UserModeVxlan::Program::pasta ? "up0" : "tap0";
}

std::string address_of(size_t index) { return fmt::format("10.99.0.{}", index + 1); }

Result<void> ip(const std::vector<std::string>& words) {
  std::vector<std::string> argv{"ip"};
  argv.insert(argv.end(), words.begin(), words.end());
  TRY(command_output(argv));
  return {};
}

bool has_link(const Netns& netns, const std::string& name) {
  Result<Socket> socket = Socket::open(netns);
  return socket && find_link(*socket, name).value_or(std::nullopt).has_value();
}

}  // namespace

Result<UserModeVxlan> UserModeVxlan::start(Program program, UplinkNode& a, UplinkNode& b) {
  UserModeVxlan made(a, b, TRY(TempDir::create("conode-peers")));
  for (size_t index = 0; index < made.nodes_.size(); ++index) TRY(made.open_way(program, index));
  for (size_t index = 0; index < made.nodes_.size(); ++index) TRY(made.make_vxlan(program, index));
  return made;
}

Ends UserModeVxlan::ends() const {
  return {&nodes_[0]->sandbox(), &nodes_[1]->sandbox(), address_of(1)};
}

// As ip-netns(8) does: they take paths.
Result<std::string> UserModeVxlan::name_namespace(const Netns& netns, size_t index) {
  std::string path = fmt::format("{}/netns{}", dir_.path(), index);
  TRY(open_at(AT_FDCWD, path, O_WRONLY | O_CREAT, 0600));
  const std::string source = fmt::format("/proc/self/fd/{}", netns.fd());
  if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return errno_failure(fmt::format("mount a namespace at '{}'", path));
  return path;
}

UserModeVxlan::~UserModeVxlan() {
  for (size_t index = 0; index < nodes_.size() && !dir_.path().empty(); ++index)
    (void)::umount2(fmt::format("{}/netns{}", dir_.path(), index).c_str(), MNT_DETACH);
}

Result<void> UserModeVxlan::open_way(Program program, size_t index) {
  const UplinkNode& node = *nodes_[index];
  const std::string& peer = nodes_[1 - index]->host_address();
  // Both look for the interface that leads out.
  TRY(node.host().run([&] { return ip({"route", "replace", "default", "via", peer}); }));
  const std::string netns = TRY(name_namespace(node.sandbox(), index));
  const std::string socket = fmt::format("{}/{}", dir_.path(), index);
  std::vector<std::string> argv{"pasta",        "--foreground", "--quiet",     "--runas", "0:0",
                                "--config-net", "--netns-only", "--no-map-gw", "-I",      "up0",
                                "-t",           "none",         "-T",          "none",    "-U",
                                "none",         "-u",           kPort,         "--netns", netns};
  if (program == Program::slirp4netns)
    argv = {"slirp4netns",  "--configure", "--mtu=65520", "--netns-type=path",
            "--api-socket", socket,        netns,         tap_of(program)};
  const UniqueFd log = TRY(open_at(AT_FDCWD, socket + ".log", O_WRONLY | O_CREAT, 0600));
  programs_.push_back(TRY(node.host().run([&] {
    return Process::spawn({.argv = argv, .fds = {{1, log.get()}, {2, log.get()}}});
  })));
  if (!eventually([&] { return has_link(node.sandbox(), tap_of(program)); }))
    return failure(fmt::format("start {}: {}", argv[0], read_file(socket + ".log").value_or("")));
  if (program == Program::slirp4netns) TRY(forward_by_slirp4netns(index));
  return {};
}

// slirp4netns(1), "API".
Result<void> UserModeVxlan::forward_by_slirp4netns(size_t index) {
  const std::string path = fmt::format("{}/{}", dir_.path(), index);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool there = eventually([&] {
    return ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  });
  if (!there) return errno_failure(fmt::format("connect to '{}'", path));
  const nlohmann::json order = {{"execute", "add_hostfwd"},
                                {"arguments",
                                 {{"proto", "udp"},
                                  {"host_addr", "0.0.0.0"},
                                  {"host_port", std::stoi(kPort)},
                                  {"guest_port", std::stoi(kPort)}}}};
  TRY(write_all(socket.get(), order.dump(), path));
  std::array<char, 1024> answer{};
  const ssize_t n = ::read(socket.get(), answer.data(), answer.size());
  const std::string text(answer.data(), static_cast<size_t>(std::max<ssize_t>(n, 0)));
  if (text.find("return") == std::string::npos)
    return failure(fmt::format("forward a port by slirp4netns: '{}'", text));
  return {};
}

Result<void> UserModeVxlan::make_vxlan(Program program, size_t index) {
  const std::string peer = nodes_[1 - index]->host_address();
  return nodes_[index]->sandbox().run([&]() -> Result<void> {
    TRY(ip({"link", "add", kDevice, "mtu", kMtu, "type", "vxlan", "id", "42", "dstport", kPort,
            "remote", peer, "dev", tap_of(program)}));
    TRY(ip({"address", "add", address_of(index) + "/24", "dev", kDevice}));
    return ip({"link", "set", kDevice, "up"});
  });
}

}  // namespace conode::test
