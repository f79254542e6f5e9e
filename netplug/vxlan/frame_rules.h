// SPDX-License-Identifier: Apache-2.0
// What passes from a user's end of the job's VXLAN to the other hosts: IPv4 packets of his own node
// and its pods, from the one Ethernet address that the end has; so no node can be taken for
// another. Nobody needs to ask for an address there, so ARP does not pass either.
#pragma once

#include <string>

#include "agent/base/result.h"
#include "netplug/vxlan/settings.h"

namespace conode {

// For `nft -f`. `port`: the link that the user's frames come in by, which need not be there yet.
[[nodiscard]] std::string frame_rules_script(const VxlanSettings& settings,
                                             const std::string& port);

// In the calling thread's network namespace, which is the job's. By nft(8), of which the kernel has
// to have the bridge family (CONFIG_NF_TABLES_BRIDGE).
[[nodiscard]] Result<void> add_frame_rules(const VxlanSettings& settings, const std::string& port);

}  // namespace conode
