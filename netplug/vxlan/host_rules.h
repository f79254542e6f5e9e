// SPDX-License-Identifier: Apache-2.0
// What the host's packet filter does with a job's VXLAN packets: no connection tracking, and none
// from anybody but the job's other hosts, where only root can send from a port below 1024. VXLAN
// itself believes every packet (RFC 7348, section 7).
#pragma once

#include <cstdint>
#include <string>

#include "agent/base/result.h"
#include "netplug/vxlan/settings.h"

namespace conode {

// "conode_vxlan_4711"
[[nodiscard]] std::string rules_table(uint32_t vni);
// For `nft -f`: all or nothing, also where an earlier version of the table is there.
[[nodiscard]] std::string rules_script(const VxlanSettings& settings);

// Whether nft would take them; changes nothing.
[[nodiscard]] Result<void> try_host_rules(const VxlanSettings& settings);
// In the calling thread's network namespace, which is the host's.
[[nodiscard]] Result<void> add_host_rules(const VxlanSettings& settings);
// Nothing to do where there are none.
[[nodiscard]] Result<void> remove_host_rules(uint32_t vni);

}  // namespace conode
