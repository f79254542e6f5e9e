// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "netplug/cni/address_pool.h"
#include "netplug/cni/host_ports.h"
#include "netplug/cni/naming.h"
#include "netplug/cni/verbs.h"
#include "netplug/link/link.h"
#include "netplug/link/socket.h"

namespace conode::cni {
namespace {

using Problems = std::vector<std::string>;

template <typename T>
void note(const Result<T>& done, Problems& problems) {
  if (!done) problems.push_back(done.error().message());
}

// Ports, then links: an address is free when nothing leads to it any more.
Result<void> delete_stale_links(const NetworkConfig& config, Problems& problems) {
  Socket node = TRY(Socket::open());
  std::set<std::string> keep;
  for (const Attachment& a : config.valid_attachments) keep.insert(host_link_name(config.name, a));
  const std::string prefix = host_link_prefix(config.name);
  for (const Link& link : TRY(list_links(node))) {
    const bool ours = link.kind == "veth" && link.name.starts_with(prefix);
    if (ours && keep.count(link.name) == 0) note(delete_link(node, link.name), problems);
  }
  return {};
}

Result<void> free_stale_addresses(const NetworkConfig& config, Problems& problems) {
  const AddressPool pool = pool_of(config);
  const std::set<Attachment> keep(config.valid_attachments.begin(), config.valid_attachments.end());
  for (const Reservation& r : TRY(pool.list()))
    if (keep.count(r.holder) == 0) note(pool.release(r), problems);
  return {};
}

}  // namespace

CniResult<void> collect_garbage(const NetworkConfig& config) {
  Problems problems;
  note(close_stale_ports(config), problems);
  note(delete_stale_links(config, problems), problems);
  note(free_stale_addresses(config, problems), problems);
  if (problems.empty()) return {};
  return fail(ErrorCode::internal, "garbage could not all be collected", joined(problems));
}

}  // namespace conode::cni
