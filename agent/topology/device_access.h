// SPDX-License-Identifier: Apache-2.0
// Private to this folder: whether this process may use a device. A batch system takes away the
// devices of other jobs by the device cgroup, which leaves them visible on the PCI bus. Any thread.
#pragma once

#include <string>

namespace conode::discovery {

// Where the kernel shows what; others for tests.
struct KernelRoots {
  std::string sys = "/sys";
  std::string dev = "/dev";
  std::string proc = "/proc";
};

// Has the PCI function ("0000:3b:00.0") device files that programs compute or communicate with
// (DRM's render nodes, nvidia's, RDMA's uverbs), and may none of them be read and written? Asked by
// access(2), which the device cgroup answers too: opening one may wake a GPU. Where there are none,
// nothing is denied.
[[nodiscard]] bool is_denied(const std::string& pci, const KernelRoots& roots = {});

}  // namespace conode::discovery
