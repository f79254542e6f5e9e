// SPDX-License-Identifier: Apache-2.0
// Whom a hook may give something to, or act for: an ordinary user, and nothing that chown(2) or
// setresuid(2) would read as "leave it as it is". One thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "agent/base/result.h"

namespace conode::hook {

// EPERM for root, for uids below UID_MIN of login.defs(5) (1000 where it says nothing: system
// users), for nobody's 65534 and for -1; the group may be any but root's, 65534 and -1.
[[nodiscard]] Result<void> check_job_user(uid_t user, gid_t group,
                                          const std::string& login_defs = "/etc/login.defs");

}  // namespace conode::hook
