// SPDX-License-Identifier: Apache-2.0
// Ports of the node that lead to containers (hostPort), as elements of maps in the nftables table
// `inet conode_hostports`; README.md shows it. Each element's comment is the host link's name
// (naming.h), which says whose it is.
#pragma once

#include <string>
#include <vector>

#include "netplug/cni/config.h"
#include "netplug/cni/error.h"

namespace conode::cni {

inline constexpr const char* kPortTable = "conode_hostports";

// Makes config.ports lead to `address`. Nothing is done where there are none; again is no error.
// Code 11 where a port is another container's. Opens all or none.
[[nodiscard]] CniResult<void> open_ports(const NetworkConfig& config, const Attachment& attachment,
                                         Ipv4Address address);

// Closes whatever leads to the attachment. Costs one system call where nothing was ever opened.
[[nodiscard]] Result<void> close_ports(const NetworkConfig& config, const Attachment& attachment);

// Names every port of config.ports that does not lead to `address`.
[[nodiscard]] Result<void> look_at_ports(const NetworkConfig& config, const Attachment& attachment,
                                         Ipv4Address address, std::vector<std::string>& problems);

// Closes the ports of this network's attachments that are not in config.valid_attachments.
[[nodiscard]] Result<void> close_stale_ports(const NetworkConfig& config);

}  // namespace conode::cni
