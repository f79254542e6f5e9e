// SPDX-License-Identifier: Apache-2.0
#include "agent/sandbox/affinity_guard.h"

#include <seccomp.h>

#include <memory>

namespace conode::sandbox {

Result<void> forbid_affinity_changes() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(::seccomp_init(SCMP_ACT_ALLOW),
                                                                &::seccomp_release);
  if (!filter) return failure("seccomp: no memory for a filter");
  // We are root of the user namespace: no_new_privs would forbid nothing we need, but would change
  // what setuid programs do inside pods.
  int error = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0);
  // 32-bit programs are on the same cores; a kernel without that ABI is fine.
  if (error == 0) {
    const int added = ::seccomp_arch_add(filter.get(), SCMP_ARCH_X86);
    if (added != 0 && added != -EEXIST && added != -EINVAL && added != -EDOM) error = added;
  }
  if (error == 0)
    error = ::seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), SCMP_SYS(sched_setaffinity), 0);
  if (error == 0) error = ::seccomp_load(filter.get());
  if (error != 0) return code_failure(-error, "seccomp: forbid sched_setaffinity");
  return {};
}

}  // namespace conode::sandbox
