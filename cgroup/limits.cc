// SPDX-License-Identifier: Apache-2.0
#include "cgroup/limits.h"

#include <algorithm>

#include "agent/base/file.h"

namespace conode {
namespace {

void lower(Limit& least, const std::string& file) {
  const Result<std::string> text = read_file(file);
  if (!text) return;
  const Result<Limit> limit = parse_value<Limit>(*text);
  if (limit && *limit) least = std::min(least.value_or(**limit), **limit);
}

}  // namespace

Limit least_limit(const CgroupHierarchy& hierarchy, std::string directory,
                  const Value<Limit>& value) {
  Limit least;
  for (; directory.size() > hierarchy.mount.size(); directory.resize(directory.rfind('/')))
    lower(least, directory + "/" + value.file);
  return least;
}

Limit own_memory_limit() {
  const Result<std::optional<CgroupHierarchy>> hierarchy = find_hierarchy();
  Result<std::string> own = own_cgroup_path();
  if (!hierarchy || !*hierarchy || !own) return {};
  return least_limit(**hierarchy, std::move(*own), value::kMemoryMax);
}

Limit task_limit(const CgroupHierarchy& hierarchy, const std::string& directory,
                 const std::string& proc) {
  Limit least = least_limit(hierarchy, directory, value::kPidsMax);
  lower(least, proc + "/sys/kernel/pid_max");
  lower(least, proc + "/sys/kernel/threads-max");
  return least;
}

}  // namespace conode
