// SPDX-License-Identifier: Apache-2.0
#include "agent/sandbox/vxlan_attendant.h"

#include <unistd.h>

#include <csignal>
#include <iostream>

#include "agent/base/file.h"
#include "agent/sandbox/enter.h"
#include "netplug/uplink/vxlan_link.h"

namespace conode::sandbox {
namespace {

Result<VxlanLink> set_up(const std::vector<std::string>& arguments) {
  constexpr size_t kArguments = 4;
  if (arguments.size() != kArguments) return code_failure(EINVAL, "read the arguments");
  TRY(enter_network(arguments[0]));
  return VxlanLink::set_up({.rank = static_cast<uint32_t>(std::stoul(arguments[1])),
                            .nodes = TRY(Ipv4Prefix::parse(arguments[2])),
                            .pods = TRY(Ipv4Prefix::parse(arguments[3]))});
}

}  // namespace

int attend_vxlan(const std::vector<std::string>& arguments) {
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(bugprone-unused-return-value)
  Result<VxlanLink> link = set_up(arguments);
  const std::string said = link ? kVxlanUp : link.error().message() + "\n";
  if (!write_all(STDOUT_FILENO, said, "standard output") || !link) return 1;
  for (uint32_t rank = 0; std::cin >> rank;)
    if (const Result<void> added = link->add_peer(rank); !added)
      std::cerr << "conode-init vxlan: " << added.error().message() << "\n";
  return 0;
}

}  // namespace conode::sandbox
