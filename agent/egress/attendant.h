// SPDX-License-Identifier: Apache-2.0
// `conode-init egress`: the process beside pasta or slirp4netns. It enters the sandbox's user and
// network namespaces, sets the link up and says so; then it waits for the agent's end, and ends the
// program, which nobody else would: both programs lose their parent-death signal when they change
// their credentials, and keep the network namespace alive. Single-threaded, as setns(2) of a user
// namespace asks for.
#pragma once

#include <string>
#include <vector>

namespace conode::egress {

// The attendant's descriptors: a pipe whose other end the agent holds, and the program's pidfd.
inline constexpr int kAgentFd = 3;
inline constexpr int kProgramFd = 4;
// What it writes to standard output when the link is up. Anything else is what went wrong.
inline constexpr const char* kUp = "up\n";

// `arguments`: the sandbox's pid, the node's address, the cluster's pod prefix, then prefixes that
// stay inside. Returns the exit code.
[[nodiscard]] int attend(const std::vector<std::string>& arguments);

}  // namespace conode::egress
