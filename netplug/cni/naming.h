// SPDX-License-Identifier: Apache-2.0
// Names and hardware addresses that follow from the attachment alone: whoever comes later (DEL, GC,
// another process after a crash) finds what ADD made without having stored anything.
#pragma once

#include <string>

#include "netplug/cni/request.h"
#include "netplug/link/address.h"

namespace conode::cni {

// Of all host ends of one network: "cn" and 4 characters of a hash.
[[nodiscard]] std::string host_link_prefix(const std::string& network);

// Of the veth's end on the node: the prefix and 9 characters (45 bits), 15 in all, the longest that
// the kernel takes.
[[nodiscard]] std::string host_link_name(const std::string& network, const Attachment& attachment);

struct MacPair {
  MacAddress host;
  MacAddress container;
};
// Mode bridge: of the container's end, by its address. Who gets an address that was another's has
// its hardware address as well, so nobody's neighbour table is wrong.
[[nodiscard]] MacAddress bridged_mac(const std::string& network, Ipv4Address address);
// Of the bridge itself.
[[nodiscard]] MacAddress bridge_mac(const std::string& network, const std::string& bridge);
[[nodiscard]] MacPair mac_addresses(const std::string& network, const Attachment& attachment);

}  // namespace conode::cni
