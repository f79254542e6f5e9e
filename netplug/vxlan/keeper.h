// SPDX-License-Identifier: Apache-2.0
// The process that is a job's VXLAN on a host: in its network namespace, which lives as long as it
// does, are the VXLAN device, a bridge and the near end of the user's veth pair. It listens at the
// job's socket and gives the user's network namespace the far end. Once that is set up it can do
// nothing but configure that network: it has the one capability CAP_NET_ADMIN, no file system but
// the job's directory, no descriptor of the host's namespace.
#pragma once

#include <functional>

#include "agent/base/result.h"
#include "netplug/vxlan/job_dir.h"
#include "netplug/vxlan/settings.h"

namespace conode {

// Moves the calling process, which has to have one thread, out of the host's network namespace,
// lets go of `hooks` once it can be found by its lock, calls `ready` when the socket listens, and
// serves until it is killed; returns failures only.
[[nodiscard]] Result<void> keep_vxlan(HookDirectory hooks, VxlanJobDir dir,
                                      const VxlanSettings& settings,
                                      const std::function<void()>& ready);

}  // namespace conode
