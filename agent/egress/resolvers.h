// SPDX-License-Identifier: Apache-2.0
// Who resolves the names outside of the cluster. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace conode::egress {

// IPv4 addresses of the lines `nameserver`, in their order (resolv.conf(5)).
[[nodiscard]] std::vector<std::string> resolvers_of(std::string_view resolv_conf);

// Where the cluster's DNS sends what it does not know: the resolvers, and in the place of those on
// the host's loopback, which nobody in the sandbox can reach, the egress program's own (once).
[[nodiscard]] std::vector<std::string> upstreams(const std::vector<std::string>& resolvers);

}  // namespace conode::egress
