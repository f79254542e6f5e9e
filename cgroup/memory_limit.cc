// SPDX-License-Identifier: Apache-2.0
#include "cgroup/memory_limit.h"

#include <algorithm>

#include "agent/base/file.h"

namespace conode {

Limit memory_limit(const CgroupHierarchy& hierarchy, std::string directory) {
  Limit least;
  for (; directory.size() > hierarchy.mount.size(); directory.resize(directory.rfind('/'))) {
    const Result<std::string> text = read_file(directory + "/" + value::kMemoryMax.file);
    if (!text) continue;
    const Result<Limit> limit = parse_value<Limit>(*text);
    if (limit && *limit) least = std::min(least.value_or(**limit), **limit);
  }
  return least;
}

Limit own_memory_limit() {
  const Result<std::optional<CgroupHierarchy>> hierarchy = find_hierarchy();
  Result<std::string> own = own_cgroup_path();
  if (!hierarchy || !*hierarchy || !own) return {};
  return memory_limit(**hierarchy, std::move(*own));
}

}  // namespace conode
