// SPDX-License-Identifier: Apache-2.0
// `conode-init vxlan`: enters the sandbox's user and network namespaces, sets up the link that the
// job's keeper has handed over, or makes one of its own (the uplink `fallback`), and says so; then
// it makes ways over it to the other nodes ("3"; "3 192.0.2.7 40123" with the fallback) and takes
// them back ("-3"), as lines come on standard input, until that ends or the link has gone.
// Single-threaded.
#pragma once

#include <string>
#include <vector>

namespace conode::sandbox {

// What it writes to standard output when the link is up. Anything else is what went wrong.
inline constexpr const char* kVxlanUp = "up\n";

// `arguments`: the sandbox's pid, the node's rank, prefixes of nodes and of pods, and for the
// fallback the MTU of its link. Returns the exit code. Later failures are lines on standard error.
[[nodiscard]] int attend_vxlan(const std::vector<std::string>& arguments);

}  // namespace conode::sandbox
