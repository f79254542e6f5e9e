// SPDX-License-Identifier: Apache-2.0
// The network of a node's sandbox before any uplink: what the sandbox's init sets up in its fresh
// network namespace. One thread, a few milliseconds.
#pragma once

#include <string>

#include "agent/base/result.h"

namespace conode {

// The link that carries the node's address, and its other end, which leads nowhere.
inline constexpr const char* kNodeLink = "cn0";
inline constexpr const char* kNodeLinkPeer = "cn1";

struct NodeNetwork {
  std::string node_address;  // "10.88.0.1"
  int prefix_length = 16;    // of the prefix that all nodes of the job share
  std::string pod_prefix;    // this node's pods, "10.244.0.0/24"
  int mtu = 0;               // bytes; 0: the kernel's 1500
};

// In the calling thread's namespace, in which it needs CAP_NET_ADMIN and a writable /proc/sys.
// Doing it again changes nothing.
[[nodiscard]] Result<void> setup_sandbox_network(const NodeNetwork& network);

}  // namespace conode
