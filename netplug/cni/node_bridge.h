// SPDX-License-Identifier: Apache-2.0
// Mode `bridge`: the bridge of the node, which all its containers share. Made by the first ADD,
// repaired by each, left to the end of the node's network namespace.
#pragma once

#include <string>
#include <vector>

#include "netplug/cni/config.h"
#include "netplug/cni/error.h"
#include "netplug/link/socket.h"

namespace conode::cni {

// Its interface index. There, up, with the gateway's address, its traffic passing netfilter.
// Code 50 where the kernel lacks br_netfilter, 7 where another kind of link has the name.
[[nodiscard]] CniResult<int> require_bridge(Socket& node, const NetworkConfig& config);

// Why containers on it would not be connected, or reach no Service; and whether `port`, a link's
// index, is one of its ports as ADD makes them. 0: do not look for a port.
[[nodiscard]] Result<void> look_at_bridge(Socket& node, const NetworkConfig& config, int port,
                                          std::vector<std::string>& problems);

// Code 50 with the administrator's remedy, unless br_netfilter is there.
[[nodiscard]] CniResult<void> require_bridge_netfilter();

}  // namespace conode::cni
