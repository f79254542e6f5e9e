// SPDX-License-Identifier: Apache-2.0
// One VXLAN for each job on a host: made, and undone without a trace. Both may be called any number
// of times, and after whatever has happened to the keeper. In the calling thread's network
// namespace, which is the host's; needs CAP_NET_ADMIN and CAP_SYS_ADMIN there, and nft(8).
#pragma once

#include <functional>
#include <string>

#include "agent/base/result.h"
#include "netplug/vxlan/settings.h"

namespace conode {

enum class VxlanOutcome : uint8_t { made, was_there, removed, was_absent };

// The MTU inside: that of the interface with `local`, less the headers. Fails where no interface of
// this host has the address.
[[nodiscard]] Result<int> vxlan_mtu(Ipv4Address local);

// Fails where the job has a VXLAN with other settings. Forks the keeper, so the calling
// process has to have one thread.
[[nodiscard]] Result<VxlanOutcome> make_vxlan(const std::string& hook_directory,
                                              const VxlanSettings& settings);
// The same, but the calling process becomes the keeper; calls `ready` once it serves.
[[nodiscard]] Result<void> keep_vxlan_here(const std::string& hook_directory,
                                           const VxlanSettings& settings,
                                           const std::function<void()>& ready);
[[nodiscard]] Result<VxlanOutcome> remove_vxlan(const std::string& hook_directory,
                                                const std::string& job);

}  // namespace conode
