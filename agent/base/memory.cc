// SPDX-License-Identifier: Apache-2.0
#include "agent/base/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>
#include <sstream>
#include <string>

#include "agent/base/file.h"

namespace conode {

void release_idle_memory() {
  // proc_pid_maps(5): "BEGIN-END PERMISSIONS OFFSET DEVICE INODE PATH"
  std::istringstream mappings(read_file("/proc/self/maps").value_or(""));
  for (std::string line; std::getline(mappings, line);) {
    std::istringstream fields(line);
    uintptr_t begin = 0;
    uintptr_t end = 0;
    char dash = 0;
    std::string permissions;
    std::string offset;
    std::string device;
    uint64_t inode = 0;
    fields >> std::hex >> begin >> dash >> end >> permissions >> offset >> device >> std::dec >>
        inode;
    // Code of a file. Nobody has written to it: a private copy would be lost.
    if (fields && inode != 0 && permissions == "r-xp")
      // NOLINTNEXTLINE(performance-no-int-to-ptr): that is how the kernel tells addresses
      (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  (void)::malloc_trim(0);
}

}  // namespace conode
