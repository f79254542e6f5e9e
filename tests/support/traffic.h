// SPDX-License-Identifier: Apache-2.0
// Does traffic pass between two network namespaces? One exchange a call, from the calling thread;
// sockets live where they are made.
#pragma once

#include <chrono>

#include "netplug/link/address.h"
#include "netplug/link/netns.h"

namespace conode::test {

struct TcpListener {
  UniqueFd socket;
  uint16_t port = 0;
};
// On all addresses of `netns`, at `port` (0: a free one).
[[nodiscard]] Result<TcpListener> listen_in(const Netns& netns, uint16_t port = 0);

// Connects from `netns` to `address`:`port`, has the listener accept, passes bytes both ways.
// The client's address as the listener sees it.
[[nodiscard]] Result<Ipv4Address> exchange(const TcpListener& listener, const Netns& from,
                                           Ipv4Address address, uint16_t port);

// One ICMP echo; fails (ETIMEDOUT) without an answer within a second.
[[nodiscard]] Result<void> ping(const Netns& from, Ipv4Address address);

}  // namespace conode::test
