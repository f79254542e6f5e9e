// SPDX-License-Identifier: Apache-2.0
#include "netplug/vxlan/handover.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>
#include <map>
#include <sstream>

#include "agent/base/packet.h"

namespace conode {
namespace {

constexpr const char* kRequest = "conode vxlan 1 end";
constexpr const char* kQuestion = "conode vxlan 1 what";
constexpr const char* kDone = "done ";
constexpr const char* kRefused = "refused ";

Result<void> set_patience(int socket, long seconds) {
  const timeval patience{.tv_sec = seconds, .tv_usec = 0};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    if (::setsockopt(socket, SOL_SOCKET, option, &patience, sizeof patience) != 0)
      return errno_failure("limit how long a peer may take");
  return {};
}

}  // namespace

Result<UniqueFd> connect_to_keeper(const std::string& path) {
  const std::string what = fmt::format("connect to the keeper of the job's VXLAN at '{}'", path);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path) return code_failure(ENAMETOOLONG, what);
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  constexpr long kPatience = 10;
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return errno_failure(what);
  TRY(set_patience(socket.get(), kPatience));  // connect(2) waits, too, where many do
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_failure(what);
  return socket;
}

namespace {

Result<VxlanEnd> exchange(const std::string& socket_path, const char* request,
                          const std::vector<int>& fds) {
  const UniqueFd socket = TRY(connect_to_keeper(socket_path));
  const std::string what = fmt::format("ask the keeper of the job's VXLAN at '{}'", socket_path);
  TRY_AS(what, send_packet(socket.get(), request, fds));
  const std::optional<Packet> packet = TRY_AS(what, receive_packet(socket.get()));
  if (!packet) return failure("the keeper of the job's VXLAN has gone without an answer");
  if (packet->data.rfind(kDone, 0) == 0)
    return parse_vxlan_end(packet->data.substr(std::strlen(kDone)));
  return failure(fmt::format("the keeper of the job's VXLAN: {}", packet->data));
}

}  // namespace

VxlanEnd end_of(const VxlanSettings& settings) {
  VxlanEnd end{.link = kVxlanLink,
               .mtu = settings.mtu,
               .vni = settings.vni,
               .rank = settings.rank,
               .nodes = settings.nodes,
               .pods = settings.pods,
               .ranks = {}};
  for (const auto& [rank, address] : settings.hosts) end.ranks.insert(rank);
  return end;
}

std::string to_text(const VxlanEnd& end) {
  std::string text = fmt::format("link {} mtu {} vni {} rank {} nodes {} pods {}", end.link,
                                 end.mtu, end.vni, end.rank, end.nodes.text(), end.pods.text());
  for (const uint32_t rank : end.ranks) text += fmt::format(" with {}", rank);
  return text;
}

Result<VxlanEnd> parse_vxlan_end(const std::string& text) {
  std::map<std::string, std::string> values;
  VxlanEnd end;
  std::istringstream words(text);
  for (std::string key, value; words >> key >> value;) {
    values[key] = value;
    uint32_t rank = 0;
    if (key == "with" && std::istringstream(value) >> rank) end.ranks.insert(rank);
  }
  end.link = values["link"];
  std::istringstream(values["mtu"]) >> end.mtu;
  std::istringstream(values["vni"]) >> end.vni;
  std::istringstream(values["rank"]) >> end.rank;
  end.nodes = TRY_AS("the keeper's answer", Ipv4Prefix::parse(values["nodes"]));
  end.pods = TRY_AS("the keeper's answer", Ipv4Prefix::parse(values["pods"]));
  if (end.link.empty() || end.mtu <= 0 || !end.ranks.contains(end.rank))
    return failure(fmt::format("the keeper's answer '{}' is no link's", text));
  return end;
}

Result<VxlanEnd> ask_about_vxlan(const std::string& socket_path) {
  return exchange(socket_path, kQuestion, {});
}

Result<VxlanEnd> request_vxlan_end(const std::string& socket_path, int netns) {
  return exchange(socket_path, kRequest, {netns});
}

Result<std::optional<Netns>> receive_request(int connection, uid_t user, const Netns& ours) {
  constexpr long kPatience = 2;
  TRY(set_patience(connection, kPatience));
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return errno_failure("ask who the peer is");
  // Taken from anybody: what is left unread would take the answer along (ECONNRESET).
  std::optional<Packet> packet = TRY(receive_packet(connection));
  if (peer.uid != user)
    return code_failure(EACCES, fmt::format("user {} is not the job's", peer.uid));
  if (!packet) return failure("the peer has gone");
  if (packet->data == kQuestion && packet->fds.empty()) return std::nullopt;
  if (packet->data != kRequest || packet->fds.size() != 1)
    return code_failure(EPROTO, "this is no request for an end");
  Netns netns = TRY(Netns::adopt(std::move(packet->fds.front())));
  if (TRY(netns.shares_user_namespace(ours)))
    return code_failure(EACCES, "the network namespace is the host's");
  const uid_t owner = TRY(netns.owner());
  if (owner != user)
    return code_failure(EACCES, fmt::format("the network namespace is user {}'s", owner));
  return std::optional<Netns>(std::move(netns));
}

void answer(int connection, const Result<VxlanEnd>& end) {
  // Who asked may be gone: his loss.
  (void)send_packet(connection, end ? kDone + to_text(*end) : kRefused + end.error().message());
}

}  // namespace conode
