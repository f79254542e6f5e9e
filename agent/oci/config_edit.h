// SPDX-License-Identifier: Apache-2.0
// A container's OCI configuration, adapted to what the node can enforce. Pure: text in, text out.
// (OCI runtime specification 1.3, config.md and config-linux.md.)
#pragma once

#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "cgroup/enforcement.h"

namespace conode {

// `config` is the content of config.json. By level:
//   controllers  as it is;
//   grouped      no linux.resources (there is no controller to hold them), and the container in
//                /pods/<container_id> of the cgroup namespace, for kill, freeze and pressure;
//   affinity     no linux.resources, no linux.cgroupsPath, no mount of type cgroup or cgroup2, no
//                cgroup namespace.
// The lower levels also drop process.execCPUAffinity: the sandbox forbids sched_setaffinity(2), and
// runc, for which a failed reset of the affinity is a warning, takes a failed setting as fatal.
// Fails for text that is no JSON object or has members of the wrong type.
[[nodiscard]] Result<std::string> adapt_config(std::string_view config, EnforcementLevel level,
                                               const std::string& container_id);

}  // namespace conode
