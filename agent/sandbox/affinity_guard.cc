// SPDX-License-Identifier: Apache-2.0
#include "agent/sandbox/affinity_guard.h"

#include <seccomp.h>

#include <array>
#include <memory>

namespace conode::sandbox {

namespace {

struct Forbidden {
  int number;
  int answer;
};
// io_uring's kernel threads run on all CPUs of the cpuset, whatever the affinity of who made them;
// programs take ENOSYS for a kernel without it.
constexpr std::array<Forbidden, 4> kForbidden{{{SCMP_SYS(sched_setaffinity), EPERM},
                                               {SCMP_SYS(io_uring_setup), ENOSYS},
                                               {SCMP_SYS(io_uring_enter), ENOSYS},
                                               {SCMP_SYS(io_uring_register), ENOSYS}}};

bool is_narrow_form_of_ours(uint32_t narrow) {
  const uint32_t native = ::seccomp_arch_native();
  return (native == SCMP_ARCH_X86_64 && narrow == SCMP_ARCH_X86) ||
         (native == SCMP_ARCH_AARCH64 && narrow == SCMP_ARCH_ARM);
}

}  // namespace

Result<void> forbid_affinity_changes() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(::seccomp_init(SCMP_ACT_ALLOW),
                                                                &::seccomp_release);
  if (!filter) return failure("seccomp: no memory for a filter");
  // We are root of the user namespace: no_new_privs would forbid nothing we need, but would change
  // what setuid programs do inside pods.
  int error = ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0);
  // 32-bit programs are on the same cores.
  for (const uint32_t narrow : {uint32_t{SCMP_ARCH_X86}, uint32_t{SCMP_ARCH_ARM}}) {
    if (error != 0 || !is_narrow_form_of_ours(narrow)) continue;
    error = ::seccomp_arch_add(filter.get(), narrow);
    if (error == -EEXIST) error = 0;
  }
  for (const Forbidden& call : kForbidden)
    if (error == 0)
      error = ::seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(static_cast<uint32_t>(call.answer)),
                                 call.number, 0);
  if (error == 0) error = ::seccomp_load(filter.get());
  if (error != 0) return code_failure(-error, "seccomp: forbid changes of CPU affinity");
  return {};
}

}  // namespace conode::sandbox
