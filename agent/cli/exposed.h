// SPDX-License-Identifier: Apache-2.0
// Ports of the host that lead to Services, as text.
#pragma once

#include <string>

#include "agent/proto/agent.pb.h"

namespace conode::cli {

// "127.0.0.1:8080 -> default/web:80 TCP (conode expose)", with the cause where it is refused.
[[nodiscard]] std::string describe(const agent::ExposedPort& port);

// Lines for `conode status`; nothing where nothing is exposed.
void print_exposed(const agent::StatusReply& status);

}  // namespace conode::cli
