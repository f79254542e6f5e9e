// SPDX-License-Identifier: Apache-2.0
// The sandbox's side of the job's VXLAN: the link that its keeper has handed over, and the ways
// over it to the other nodes. They lead there before the relay's wider ones, and go with the link,
// so that the relay has the traffic again. Nobody is asked for an address: the other nodes'
// Ethernet addresses are known by their ranks. In the network namespace that the object was made
// in; one thread at a time.
#pragma once

#include <cstdint>

#include "agent/base/result.h"
#include "netplug/link/address.h"
#include "netplug/link/route.h"
#include "netplug/link/socket.h"

namespace conode {

struct VxlanLinkOptions {
  uint32_t rank = 0;  // of this node
  Ipv4Prefix nodes;   // addresses by rank: see VxlanSettings
  Ipv4Prefix pods;
};

class VxlanLink {
 public:
  // In the calling thread's network namespace, in which it needs CAP_NET_ADMIN. Up when it returns.
  // Fails (ENODEV) where the link has not been handed over.
  [[nodiscard]] static Result<VxlanLink> set_up(const VxlanLinkOptions& options);

  // From now on the node of that rank and its pods are reached over the link. Doing it again
  // changes nothing.
  [[nodiscard]] Result<void> add_peer(uint32_t rank);
  // By whatever other way there is. Nothing to do where it was not a peer.
  [[nodiscard]] Result<void> remove_peer(uint32_t rank);

 private:
  VxlanLink(VxlanLinkOptions options, Socket socket, int index)
      : options_(options), socket_(std::move(socket)), index_(index) {}
  [[nodiscard]] Route route_to_pods(uint32_t rank) const;

  VxlanLinkOptions options_;
  Socket socket_;
  int index_;
};

}  // namespace conode
