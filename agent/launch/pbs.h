// SPDX-License-Identifier: Apache-2.0
// Agents by pbs_tmrsh(8B), the remote shell of a PBS job. It carries neither standard input nor
// output: tickets are files below the home directory, which the nodes share, for the user alone
// (0600), and gone once they are read; what programs on other nodes print is in the job's output.
#pragma once

#include "agent/launch/launcher.h"

namespace conode::launch {

[[nodiscard]] Result<std::unique_ptr<Launcher>> make_pbs(const Options& options);

}  // namespace conode::launch
