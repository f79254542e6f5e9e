// SPDX-License-Identifier: Apache-2.0
#include "agent/egress/resolvers.h"

#include <algorithm>
#include <sstream>

#include "netplug/link/address.h"
#include "netplug/link/egress_link.h"

namespace conode::egress {

std::vector<std::string> resolvers_of(std::string_view resolv_conf) {
  std::vector<std::string> found;
  bool others = false;
  std::istringstream lines{std::string(resolv_conf)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string keyword;
    std::string address;
    if (!(words >> keyword >> address) || keyword != "nameserver") continue;
    if (Ipv4Address::parse(address))
      found.push_back(address);
    else
      others = true;
  }
  // One that only the host can reach, by IPv6: the egress program asks it for us, as one on the
  // loopback.
  if (found.empty() && others) found.emplace_back("127.0.0.1");
  return found;
}

std::vector<std::string> upstreams(const std::vector<std::string>& resolvers) {
  std::vector<std::string> all;
  for (const std::string& resolver : resolvers) {
    const std::string reached =
        resolver.starts_with("127.") || resolver == "0.0.0.0" ? kEgressResolver : resolver;
    if (std::find(all.begin(), all.end(), reached) == all.end()) all.push_back(reached);
  }
  return all;
}

}  // namespace conode::egress
