// SPDX-License-Identifier: Apache-2.0
// The sandbox's private mount tree, made by its init. The host's /var, /run and /etc are never
// written: what Kubernetes writes is covered by the job's state directory or by tmpfs.
#pragma once

#include <string>

#include "agent/base/result.h"

namespace conode::sandbox {

struct MountOptions {
  std::string state_dir;    // host's path, bound to kStatePath
  std::string bundle_dir;   // to kBundlePath, read-only
  std::string libexec_dir;  // to kLibexecPath, read-only
  std::string resolver;     // IPv4 address that programs ask for names; empty: the host's
  bool cgroups = false;     // the cgroup namespace's root is delegated and must be mountable
};

// In the new mount, PID and cgroup namespaces, as root of the user namespace.
[[nodiscard]] Result<void> make_mounts(const MountOptions& options);

}  // namespace conode::sandbox
