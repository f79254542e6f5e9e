// SPDX-License-Identifier: Apache-2.0
#include "agent/sandbox/vxlan_attendant.h"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <iostream>
#include <sstream>

#include "agent/base/file.h"
#include "agent/sandbox/enter.h"
#include "netplug/link/link.h"
#include "netplug/uplink/fallback_link.h"
#include "netplug/uplink/vxlan_link.h"
#include "netplug/vxlan/settings.h"

namespace conode::sandbox {
namespace {

Result<VxlanLink> set_up(const std::vector<std::string>& arguments) {
  constexpr size_t kArguments = 4;  // one more: the fallback
  if (arguments.size() != kArguments && arguments.size() != kArguments + 1)
    return code_failure(EINVAL, "read the arguments");
  TRY(enter_network(arguments[0]));
  const auto rank = static_cast<uint32_t>(std::stoul(arguments[1]));
  if (arguments.size() > kArguments)
    TRY(make_fallback_link(rank, std::stoi(arguments[kArguments])));
  return VxlanLink::set_up({.rank = rank,
                            .nodes = TRY(Ipv4Prefix::parse(arguments[2])),
                            .pods = TRY(Ipv4Prefix::parse(arguments[3]))});
}

// Readable when a link of this network namespace changes (rtnetlink(7)).
Result<UniqueFd> news_of_links() {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return errno_failure("listen for changes of links");
  return socket;
}

// It may have gone before somebody listened, or while there was too much to say: asked for anew.
bool link_is_there(int news) {
  std::array<char, 8192> ignored{};
  while (::recv(news, ignored.data(), ignored.size(), 0) > 0 || errno == ENOBUFS) continue;
  Result<Socket> socket = Socket::open();
  if (!socket) return true;
  const Result<std::optional<Link>> link = find_link(*socket, kVxlanLink);
  return !link || link->has_value();
}

// "3" or "3 192.0.2.7 40123": there is a way to that rank now. "-3": not any more.
Result<void> obey(VxlanLink& link, const std::string& order) {
  std::istringstream words(order);
  int64_t rank = 0;
  std::string host;
  uint16_t port = 0;
  words >> rank;
  if (order.starts_with('-')) return link.remove_peer(static_cast<uint32_t>(-rank));
  if (words >> host >> port)
    TRY(add_fallback_peer(static_cast<uint32_t>(rank), TRY(Ipv4Address::parse(host)), port));
  return link.add_peer(static_cast<uint32_t>(rank));
}

// Complete lines of `orders`.
void obey_all(VxlanLink& link, std::string& orders) {
  for (size_t end = 0; (end = orders.find('\n')) != std::string::npos; orders.erase(0, end + 1)) {
    const Result<void> done = obey(link, orders.substr(0, end));
    if (!done) std::cerr << "conode-init vxlan: " << done.error().message() << "\n";
  }
}

// Until the orders end, or the link goes.
void attend(VxlanLink& link, int news) {
  std::string orders;
  std::array<char, 4096> buffer{};
  std::array<pollfd, 2> readable{{{STDIN_FILENO, POLLIN, 0}, {news, POLLIN, 0}}};
  while (link_is_there(news)) {
    if (::poll(readable.data(), readable.size(), -1) < 0 && errno != EINTR) return;
    if (readable[0].revents == 0) continue;
    const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n <= 0) return;
    orders.append(buffer.data(), static_cast<size_t>(n));
    obey_all(link, orders);
  }
}

}  // namespace

int attend_vxlan(const std::vector<std::string>& arguments) {
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(bugprone-unused-return-value)
  Result<VxlanLink> link = set_up(arguments);
  Result<UniqueFd> news = news_of_links();
  std::string said = kVxlanUp;
  if (!news) said = news.error().message() + "\n";
  if (!link) said = link.error().message() + "\n";
  if (!write_all(STDOUT_FILENO, said, "standard output") || !link || !news) return 1;
  attend(*link, news->get());
  return 0;
}

}  // namespace conode::sandbox
