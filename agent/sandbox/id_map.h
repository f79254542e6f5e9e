// SPDX-License-Identifier: Apache-2.0
// User and group id maps of a user namespace (user_namespaces(7)). Blocking; any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "agent/base/result.h"

namespace conode {

struct IdRange {
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint32_t count = 0;
};

struct IdMap {
  std::vector<IdRange> uids;
  std::vector<IdRange> gids;
  // False: only the user himself is mapped (to root); pods that run as another user fail.
  bool subordinate = false;
};

// The user's own id as root, then his subordinate ranges (subuid(5), or whatever the name service
// says) where they and newuidmap(1) exist; the single id otherwise.
[[nodiscard]] Result<IdMap> id_map_of_user();

// Writes the maps of `pid`'s fresh user namespace: directly for a single id (then with setgroups
// denied) or where we have CAP_SETUID and CAP_SETGID, by newuidmap/newgidmap else.
[[nodiscard]] Result<void> write_id_map(pid_t pid, const IdMap& map);

}  // namespace conode
