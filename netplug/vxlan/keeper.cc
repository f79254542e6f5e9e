// SPDX-License-Identifier: Apache-2.0
// Theory of operation: between the user's veth and the VXLAN device there is a bridge of two ports
// that learns nothing, so that whatever the user sends fills no table of the kernel's. What is not
// from the addresses that are his by the rank is dropped where it enters the bridge. The VXLAN
// device has one entry for each peer, with the Ethernet address that the peer's end has by its
// rank, and none for what is unknown: nothing is ever sent to several peers at once.
#include "netplug/vxlan/keeper.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "netplug/link/bridge.h"
#include "netplug/link/link.h"
#include "netplug/link/sysctl.h"
#include "netplug/link/vxlan.h"
#include "netplug/vxlan/confine.h"
#include "netplug/vxlan/frame_rules.h"
#include "netplug/vxlan/handover.h"

namespace conode {
namespace {

constexpr const char* kBridge = "bridge";
constexpr const char* kDevice = "vxlan";
constexpr const char* kPort = "user";

class JobNetwork {
 public:
  // `underlay`: a socket of the host's namespace. The calling thread is in the job's.
  [[nodiscard]] static Result<JobNetwork> make(Socket& underlay, const VxlanSettings& settings);
  // The user's end, in `theirs`; the one before goes.
  [[nodiscard]] Result<VxlanEnd> give_end(const Netns& theirs);
  [[nodiscard]] VxlanEnd end() const { return end_of(settings_); }
  [[nodiscard]] const Netns& netns() const { return netns_; }

 private:
  JobNetwork(Netns netns, Socket socket, VxlanSettings settings)
      : netns_(std::move(netns)), socket_(std::move(socket)), settings_(std::move(settings)) {}
  [[nodiscard]] Result<int> make_device(Socket& underlay);

  Netns netns_;
  Socket socket_;
  VxlanSettings settings_;
  int bridge_ = 0;
};

Result<void> set_if_there(const char* name, const char* value) {
  Result<void> done = set_network_sysctl(name, value);
  if (!done && done.error().is(std::errc::no_such_file_or_directory)) return {};
  return done;
}

// Nobody here has an address: the host's stack has nothing to say to the user.
Result<void> silence_namespace() {
  for (const char* name : {"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"})
    TRY(set_if_there(name, "1"));
  // Bridged packets are no affair of a host's packet filter, if there is one for them
  // (br_netfilter).
  for (const char* name : {"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables",
                           "bridge/bridge-nf-call-arptables"})
    TRY(set_if_there(name, "0"));
  return {};
}

Result<JobNetwork> JobNetwork::make(Socket& underlay, const VxlanSettings& settings) {
  TRY(silence_namespace());
  TRY(add_frame_rules(settings, kPort));
  JobNetwork made(TRY(Netns::current()), TRY(Socket::open()), settings);
  Socket& socket = made.socket_;
  TRY(create_bridge(socket, kBridge, settings.mtu));
  made.bridge_ = TRY(link_index(socket, kBridge));
  TRY(make_bridge_plain(socket, made.bridge_));
  const int device = TRY(made.make_device(underlay));
  TRY(set_link_master(socket, device, made.bridge_));
  TRY(set_bridge_port(socket, device, {.learning = false}));
  for (const auto& [rank, address] : settings.hosts)
    if (rank != settings.rank) TRY(add_vxlan_peer(socket, device, vxlan_mac(rank), address));
  TRY(set_link_up(socket, device));
  return made;
}

// A VXLAN of this VNI may still be going with the namespace of a keeper that was killed: nothing
// tells when it has gone, so this asks again for a while.
Result<int> JobNetwork::make_device(Socket& underlay) {
  constexpr int kAttempts = 100;
  constexpr std::chrono::milliseconds kBetween{30};
  const VxlanDevice device{.name = kDevice,
                           .vni = settings_.vni,
                           .local = settings_.local(),
                           .port = settings_.port,
                           .first_source_port = kFirstVxlanSource,
                           .last_source_port = kLastVxlanSource,
                           .mtu = settings_.mtu,
                           .netns = &netns_};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (TRY(create_vxlan(underlay, device))) return link_index(socket_, kDevice);
    std::this_thread::sleep_for(kBetween);
  }
  return failure(
      fmt::format("VNI {} is in use on this host at port {}", settings_.vni, settings_.port),
      "give this job another one with --vni, on all its hosts");
}

Result<VxlanEnd> JobNetwork::give_end(const Netns& theirs) {
  TRY(delete_link(socket_, kPort));
  const bool made = TRY(create_veth(socket_, {.name = kPort,
                                              .peer_name = kVxlanLink,
                                              .peer_mac = vxlan_mac(settings_.rank),
                                              .mtu = settings_.mtu,
                                              .peer_netns = &theirs,
                                              .master = bridge_}));
  if (!made)
    return failure(
        fmt::format("there is a link '{}' in the network namespace already", kVxlanLink));
  TRY(set_bridge_port(socket_, TRY(link_index(socket_, kPort)), {.learning = false}));
  return end_of(settings_);
}

// Whatever goes wrong is the caller's affair, who is told.
void serve_one(int connection, JobNetwork& network, uid_t user) {
  const auto give = [&]() -> Result<VxlanEnd> {
    const std::optional<Netns> theirs = TRY(receive_request(connection, user, network.netns()));
    return theirs ? network.give_end(*theirs) : Result<VxlanEnd>(network.end());
  };
  answer(connection, give());
}

}  // namespace

Result<void> keep_vxlan(HookDirectory hooks, VxlanJobDir dir, const VxlanSettings& settings,
                        const std::function<void()>& ready) {
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(bugprone-unused-return-value): who waits for us may go
  TRY(dir.take_lock());
  hooks.release();
  std::optional<Socket> underlay(TRY(Socket::open()));
  if (::unshare(CLONE_NEWNET) != 0) return errno_failure("make the job's network namespace");
  JobNetwork network = TRY(JobNetwork::make(*underlay, settings));
  underlay.reset();
  const UniqueFd listener = TRY(dir.listen(settings.user));
  TRY(confine(dir.fd()));
  ready();
  for (;;) {
    const UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) serve_one(connection.get(), network, settings.user);
    if (!connection && errno != EINTR && errno != ECONNABORTED)
      return errno_failure("accept a connection at the job's socket");
  }
}

}  // namespace conode
