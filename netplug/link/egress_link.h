// SPDX-License-Identifier: Apache-2.0
// The way from a node's sandbox to the site's network: the TAP device that pasta(1) or
// slirp4netns(1) holds at its other end. What leaves by it is masqueraded; nothing comes in by it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/result.h"

namespace conode {

// A range that no site routes (RFC 2544), of which the program's side has the addresses below.
inline constexpr const char* kEgressDevice = "egress0";
inline constexpr const char* kEgressPrefix = "198.19.255.0/24";
inline constexpr const char* kEgressAddress = "198.19.255.100";
inline constexpr const char* kEgressGateway = "198.19.255.2";
// Where the program answers for the host's resolver.
inline constexpr const char* kEgressResolver = "198.19.255.3";
// Bytes; the largest that both programs take. With 1500 they are ten times slower and more.
inline constexpr int kEgressMtu = 65520;

struct EgressLink {
  std::string node_address;         // of this node, "10.88.0.1"
  std::string pod_prefix;           // of the cluster
  std::vector<std::string> inside;  // prefixes whose way is the node's own link: the Services'
};

// Waits for the device, at most `patience`, and gives it address, routes and rules (a table of our
// own, by nft). The routes are two halves of everything: a default route that is there stays, and
// is used again when the device goes with its program. In the calling thread's namespace, in which
// it needs CAP_NET_ADMIN. Doing it again changes nothing.
[[nodiscard]] Result<void> set_up_egress(const EgressLink& egress,
                                         std::chrono::milliseconds patience);

}  // namespace conode
