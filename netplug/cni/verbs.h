// SPDX-License-Identifier: Apache-2.0
// The CNI operations. Source: CNI specification 1.1, section 2, "CNI operations".
//
// Theory of operation, mode `routed` (of mode `bridge`: node_bridge.cc). Each container has one
// veth pair and one /32 route, no bridge:
//
//   container             169.254.1.1 (no interface has it: a permanent neighbour entry
//   eth0 10.244.0.5/32    gives it the host end's hardware address, so nobody sends ARP)
//     |  default via 169.254.1.1 onlink
//     |
//   cnXXXXYYYYYYYYY       10.244.0.5/32 dev cnXXXXYYYYYYYYY scope link; the node forwards
//
// State is the reservation (address_pool.h), the link by its name (naming.h), and what dies with
// the link: route, neighbours, the container's side. Every order of kill -9, DEL and GC ends clean.
#pragma once

#include <nlohmann/json.hpp>

#include "netplug/cni/config.h"
#include "netplug/cni/error.h"
#include "netplug/cni/request.h"

namespace conode::cni {

// The result to print. Undoes everything when it fails.
[[nodiscard]] CniResult<nlohmann::json> add(const Request& request, const NetworkConfig& config);

// Succeeds on what is gone already; never looks into the container's namespace. Afterwards nothing
// reaches the container and its address is free; the link itself goes with the container's
// namespace, or where that stays, within a second or so by a child of this process.
[[nodiscard]] CniResult<void> del(const Request& request, const NetworkConfig& config);

// All that is missing, in one failure.
[[nodiscard]] CniResult<void> check(const Request& request, const NetworkConfig& config);

// Frees the addresses and deletes the links of attachments that are not in the list; goes on after
// a failure and reports all of them.
[[nodiscard]] CniResult<void> collect_garbage(const NetworkConfig& config);

// Could ADD work now?
[[nodiscard]] CniResult<void> status(const NetworkConfig& config);

// The addresses of this network: <data_dir>/<name>.
class AddressPool;
[[nodiscard]] AddressPool pool_of(const NetworkConfig& config);

// What the container's interface gets: the address alone, or in mode `bridge` with the range's
// prefix, which is on the link.
[[nodiscard]] Ipv4Prefix container_prefix(const NetworkConfig& config, Ipv4Address address);

}  // namespace conode::cni
