// SPDX-License-Identifier: Apache-2.0
// Network interfaces through rtnetlink: create, find, set up, delete. Every operation takes the
// socket of the namespace it works in and blocks until the kernel has done it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "netplug/link/address.h"
#include "netplug/link/netns.h"
#include "netplug/link/socket.h"

namespace conode {

struct Link {
  int index = 0;
  std::string name;
  std::string kind;  // "veth", "bridge", ...; empty for the loopback
  MacAddress mac;
  int mtu = 0;      // bytes
  bool up = false;  // IFF_UP: administratively
  int master = 0;   // index of the bridge whose port it is; 0: of none
};

// The first end comes up at once; the peer cannot (ENOTCONN while the pair is being made): use
// set_link_up() in its namespace.
struct VethPair {
  std::string name;
  std::string peer_name;
  std::optional<MacAddress> mac;  // absent: the kernel's random one
  std::optional<MacAddress> peer_mac;
  int mtu = 0;                        // bytes, both ends; 0: the kernel's 1500
  const Netns* peer_netns = nullptr;  // null: the socket's namespace
  int master = 0;                     // index of the bridge that gets the first end; 0: of none
};

// False when there is a link of one of the two names already (its kind is not looked at).
[[nodiscard]] Result<bool> create_veth(Socket& socket, const VethPair& pair);

// Up, without ports. False when there is a link of that name already.
[[nodiscard]] Result<bool> create_bridge(Socket& socket, const std::string& name, int mtu = 0);

[[nodiscard]] Result<std::optional<Link>> find_link(Socket& socket, const std::string& name);
// Of a link that has to be there: ENODEV where it is not.
[[nodiscard]] Result<int> link_index(Socket& socket, const std::string& name);
[[nodiscard]] Result<std::vector<Link>> list_links(Socket& socket);
// Until there is a link of that name, at most `timeout`. Opens sockets of its own in the calling
// thread's namespace.
[[nodiscard]] Result<std::optional<Link>> wait_link(const std::string& name,
                                                    std::chrono::milliseconds timeout);

[[nodiscard]] Result<void> set_link_up(Socket& socket, int index);
// MTU in bytes; how many packets may wait to be sent.
[[nodiscard]] Result<void> set_link_size(Socket& socket, int index, int mtu, int queue_length);
// Makes it a port of the bridge with that index.
[[nodiscard]] Result<void> set_link_master(Socket& socket, int index, int bridge);

// False when there was none. Waits for the kernel to unregister it: 20 ms and more for a veth pair,
// whose other end goes too.
[[nodiscard]] Result<bool> delete_link(Socket& socket, const std::string& name);

// False when there was none of that index.
[[nodiscard]] Result<bool> delete_link(Socket& socket, int index);

// Until the kernel has taken the link away (its namespace or its peer's may be going), at most
// `timeout`: true when it is gone. By index: a name may have a new owner meanwhile. Opens sockets
// of its own in the calling thread's namespace.
[[nodiscard]] Result<bool> wait_link_gone(int index, std::chrono::milliseconds timeout);

}  // namespace conode
