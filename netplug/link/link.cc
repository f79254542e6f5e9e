// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/link.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/link/veth.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <functional>

#include "netplug/link/nl.h"

namespace conode {
namespace {

Link describe(rtnl_link* raw) {
  Link link{.index = ::rtnl_link_get_ifindex(raw),
            .mtu = static_cast<int>(::rtnl_link_get_mtu(raw)),
            .up = (::rtnl_link_get_flags(raw) & IFF_UP) != 0,
            .master = ::rtnl_link_get_master(raw)};
  if (const char* name = ::rtnl_link_get_name(raw)) link.name = name;
  if (const char* kind = ::rtnl_link_get_type(raw)) link.kind = kind;
  if (nl_addr* mac = ::rtnl_link_get_addr(raw);
      mac != nullptr && ::nl_addr_get_len(mac) == link.mac.bytes.size()) {
    const auto* bytes = static_cast<const uint8_t*>(::nl_addr_get_binary_addr(mac));
    std::copy_n(bytes, link.mac.bytes.size(), link.mac.bytes.begin());
  }
  return link;
}

void fill_in(rtnl_link* raw, const std::string& name, const std::optional<MacAddress>& mac,
             int mtu) {
  ::rtnl_link_set_name(raw, name.c_str());
  if (mtu > 0) ::rtnl_link_set_mtu(raw, static_cast<unsigned>(mtu));
  if (mac) {
    const nl::Ptr<nl_addr> address = nl::address(*mac);
    ::rtnl_link_set_addr(raw, address.get());
  }
}

Result<bool> create(Socket& socket, rtnl_link* raw, const std::string& what) {
  nl_msg* built = nullptr;
  if (::rtnl_link_build_add_request(raw, NLM_F_CREATE | NLM_F_EXCL, &built) < 0)
    return code_failure(ENOMEM, what);
  const nl::Ptr<nl_msg> message(built);
  const Result<void> done = socket.request(message.get(), what);
  if (done) return true;
  if (done.error().is(std::errc::file_exists)) return false;
  return tl::make_unexpected(done.error());
}

}  // namespace

Result<bool> create_veth(Socket& socket, const VethPair& pair) {
  const std::string what = fmt::format("create veth '{}' - '{}'", pair.name, pair.peer_name);
  const nl::Ptr<rtnl_link> link(::rtnl_link_veth_alloc());
  if (!link) return code_failure(ENOMEM, what);
  const nl::Ptr<rtnl_link> peer(::rtnl_link_veth_get_peer(link.get()));
  fill_in(link.get(), pair.name, pair.mac, pair.mtu);
  ::rtnl_link_set_flags(link.get(), IFF_UP);
  if (pair.master != 0) ::rtnl_link_set_master(link.get(), pair.master);
  fill_in(peer.get(), pair.peer_name, pair.peer_mac, pair.mtu);
  if (pair.peer_netns != nullptr) ::rtnl_link_set_ns_fd(peer.get(), pair.peer_netns->fd());
  return create(socket, link.get(), what);
}

Result<bool> create_bridge(Socket& socket, const std::string& name, int mtu) {
  const std::string what = fmt::format("create bridge '{}'", name);
  const nl::Ptr<rtnl_link> link(::rtnl_link_alloc());
  if (!link || ::rtnl_link_set_type(link.get(), "bridge") < 0) return code_failure(ENOMEM, what);
  fill_in(link.get(), name, std::nullopt, mtu);
  ::rtnl_link_set_flags(link.get(), IFF_UP);
  return create(socket, link.get(), what);
}

namespace {

// By index, or where that is 0 by name.
Result<std::optional<Link>> find(Socket& socket, int index, const char* name,
                                 const std::string& what) {
  rtnl_link* found = nullptr;
  const int error = ::rtnl_link_get_kernel(socket.native(), index, name, &found);
  const nl::Ptr<rtnl_link> link(found);
  if (error == 0) return describe(link.get());
  if (error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND) return std::nullopt;
  return code_failure(nl::errno_of(error), what);
}

}  // namespace

Result<std::optional<Link>> find_link(Socket& socket, const std::string& name) {
  return find(socket, 0, name.c_str(), fmt::format("find link '{}'", name));
}

Result<int> link_index(Socket& socket, const std::string& name) {
  const std::optional<Link> link = TRY(find_link(socket, name));
  if (!link) return code_failure(ENODEV, fmt::format("find link '{}'", name));
  return link->index;
}

Result<std::vector<Link>> list_links(Socket& socket) {
  nl_cache* dumped = nullptr;
  if (const int error = ::rtnl_link_alloc_cache(socket.native(), AF_UNSPEC, &dumped); error < 0)
    return code_failure(nl::errno_of(error), "list links");
  const nl::Ptr<nl_cache> cache(dumped);
  std::vector<Link> links;
  for (nl_object* at = ::nl_cache_get_first(cache.get()); at != nullptr;
       at = ::nl_cache_get_next(at))
    links.push_back(describe(reinterpret_cast<rtnl_link*>(at)));
  return links;
}

namespace {

// What `edit` sets on an empty link is asked for.
Result<void> change_link(Socket& socket, int index, const std::string& what,
                         const std::function<void(rtnl_link*)>& edit) {
  const nl::Ptr<rtnl_link> link(::rtnl_link_alloc());
  const nl::Ptr<rtnl_link> change(::rtnl_link_alloc());
  if (!link || !change) return code_failure(ENOMEM, what);
  ::rtnl_link_set_ifindex(link.get(), index);
  edit(change.get());
  nl_msg* built = nullptr;
  if (::rtnl_link_build_change_request(link.get(), change.get(), 0, &built) < 0)
    return code_failure(ENOMEM, what);
  const nl::Ptr<nl_msg> message(built);
  return socket.request(message.get(), what);
}

}  // namespace

Result<void> set_link_up(Socket& socket, int index) {
  return change_link(socket, index, fmt::format("set link {} up", index),
                     [](rtnl_link* change) { ::rtnl_link_set_flags(change, IFF_UP); });
}

Result<void> set_link_size(Socket& socket, int index, int mtu, int queue_length) {
  return change_link(
      socket, index,
      fmt::format("set MTU {} and a queue of {} on link {}", mtu, queue_length, index),
      [&](rtnl_link* change) {
        ::rtnl_link_set_mtu(change, static_cast<unsigned>(mtu));
        ::rtnl_link_set_txqlen(change, static_cast<unsigned>(queue_length));
      });
}

Result<void> set_link_master(Socket& socket, int index, int bridge) {
  return change_link(socket, index, fmt::format("make link {} a port of bridge {}", index, bridge),
                     [&](rtnl_link* change) { ::rtnl_link_set_master(change, bridge); });
}

namespace {

Result<bool> request_deletion(Socket& socket, rtnl_link* link, const std::string& what) {
  nl_msg* built = nullptr;
  if (link == nullptr || ::rtnl_link_build_delete_request(link, &built) < 0)
    return code_failure(ENOMEM, what);
  const nl::Ptr<nl_msg> message(built);
  const Result<void> done = socket.request(message.get(), what);
  if (done) return true;
  if (done.error().is(std::errc::no_such_device)) return false;
  return tl::make_unexpected(done.error());
}

}  // namespace

Result<bool> delete_link(Socket& socket, const std::string& name) {
  const nl::Ptr<rtnl_link> link(::rtnl_link_alloc());
  if (link) ::rtnl_link_set_name(link.get(), name.c_str());
  return request_deletion(socket, link.get(), fmt::format("delete link '{}'", name));
}

Result<bool> delete_link(Socket& socket, int index) {
  const nl::Ptr<rtnl_link> link(::rtnl_link_alloc());
  if (link) ::rtnl_link_set_ifindex(link.get(), index);
  return request_deletion(socket, link.get(), fmt::format("delete link {}", index));
}

namespace {

// What the notifications say is not read: the link is looked at instead.
Result<void> drain_when_readable(int fd, std::chrono::milliseconds timeout) {
  pollfd poll{.fd = fd, .events = POLLIN};
  if (::poll(&poll, 1, static_cast<int>(timeout.count())) < 0 && errno != EINTR)
    return errno_failure("wait for a link's notification");
  std::array<char, 8192> ignored{};
  while (::recv(fd, ignored.data(), ignored.size(), MSG_DONTWAIT) > 0) continue;
  return {};
}

}  // namespace

namespace {

// Asks again after each change of a link, until `done` says so (true) or the time is over.
Result<bool> wait_links(std::chrono::milliseconds timeout,
                        const std::function<Result<bool>(Socket&)>& done) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + timeout;
  // Subscribed before it looks: what happens between is not missed.
  Socket notifications = TRY(Socket::open());
  Socket socket = TRY(Socket::open());
  if (const int error = ::nl_socket_add_membership(notifications.native(), RTNLGRP_LINK); error < 0)
    return code_failure(nl::errno_of(error), "subscribe to links");
  for (;;) {
    if (TRY(done(socket))) return true;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    TRY(drain_when_readable(::nl_socket_get_fd(notifications.native()), left));
  }
}

}  // namespace

Result<bool> wait_link_gone(int index, std::chrono::milliseconds timeout) {
  return wait_links(timeout, [index](Socket& socket) -> Result<bool> {
    return !TRY(find(socket, index, nullptr, fmt::format("find link {}", index)));
  });
}

Result<std::optional<Link>> wait_link(const std::string& name, std::chrono::milliseconds timeout) {
  std::optional<Link> found;
  TRY(wait_links(timeout, [&](Socket& socket) -> Result<bool> {
    found = TRY(find_link(socket, name));
    return found.has_value();
  }));
  return found;
}

}  // namespace conode
