// SPDX-License-Identifier: Apache-2.0
// An error of the wrapper, where a person and where Kubernetes look for it.
#pragma once

#include <ctime>
#include <string>

#include "agent/base/result.h"
#include "agent/oci/command_line.h"

namespace conode {

// One line of runc's log (logrus) with level error. containerd's shim passes `--log FILE
// --log-format json`; when a call fails it takes the "msg" of the last object with level "error",
// which then stands in the pod's events (containerd v2.4, cmd/containerd-shim-runc-v2/process/
// utils.go, getLastRuntimeError). "time" has to be RFC 3339, or the shim gives up on the file.
[[nodiscard]] std::string log_line(const std::string& message, const std::string& log_format,
                                   std::time_t now);

// To standard error, and to the log of the call where one is given.
void report(const Error& error, const RuntimeCall& call);

}  // namespace conode
