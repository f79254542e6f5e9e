// SPDX-License-Identifier: Apache-2.0
#include "netplug/vxlan/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace conode {
namespace {

using CapabilitySets = std::array<__user_cap_data_struct, 2>;

__user_cap_header_struct header() { return {_LINUX_CAPABILITY_VERSION_3, 0}; }

Result<void> keep_only(unsigned capability) {
  // The bounding set first: that takes CAP_SETPCAP, where the process has it.
  for (int one = 0; ::prctl(PR_CAPBSET_READ, one, 0, 0, 0) >= 0; ++one)
    if (::prctl(PR_CAPBSET_DROP, one, 0, 0, 0) != 0 && errno != EPERM)
      return errno_failure("drop a capability for good");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return errno_failure("clear the ambient capabilities");
  auto version = header();
  CapabilitySets sets{};
  sets[0].effective = sets[0].permitted = 1U << capability;
  if (::syscall(SYS_capset, &version, sets.data()) != 0) return errno_failure("capset");
  return {};
}

Result<void> limit(__rlimit_resource resource, rlim_t most) {
  const rlimit value{most, most};
  if (::setrlimit(resource, &value) != 0) return errno_failure("limit a resource");
  return {};
}

}  // namespace

Result<void> confine(int directory) {
  constexpr rlim_t kDescriptors = 64;
  if (::fchdir(directory) != 0 || ::chroot(".") != 0)
    return errno_failure("leave the host's file system");
  TRY(limit(RLIMIT_FSIZE, 0));
  TRY(limit(RLIMIT_CORE, 0));
  TRY(limit(RLIMIT_NOFILE, kDescriptors));
  TRY(limit(RLIMIT_NPROC, 0));
  TRY(keep_only(CAP_NET_ADMIN));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    return errno_failure("give up privileges");
  return {};
}

Result<uint64_t> effective_capabilities() {
  auto version = header();
  CapabilitySets sets{};
  if (::syscall(SYS_capget, &version, sets.data()) != 0) return errno_failure("capget");
  return uint64_t{sets[1].effective} << 32U | sets[0].effective;
}

}  // namespace conode
