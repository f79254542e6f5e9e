// SPDX-License-Identifier: Apache-2.0
// What the wrapper does with one call: adapt the bundle, then become runc.
#pragma once

#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/oci/command_line.h"
#include "cgroup/enforcement.h"

namespace conode {

// $CONODE_ENFORCEMENT. Fails where it is unset or no level's name.
[[nodiscard]] Result<EnforcementLevel> enforcement_from_environment();

// Edits <bundle>/config.json (all or nothing, same mode) of a create or run.
[[nodiscard]] Result<void> adapt_bundle(const RuntimeCall& call, EnforcementLevel level);

// The arguments for runc: level `affinity` tells create and run not to insist on cgroups.
[[nodiscard]] std::vector<std::string> runc_arguments(const RuntimeCall& call,
                                                      EnforcementLevel level);

// Adapts where the call uses a bundle, and execs $CONODE_RUNC; every other call goes there
// unchanged. Returns only the failure.
[[nodiscard]] Error perform(const RuntimeCall& call);

}  // namespace conode
