// SPDX-License-Identifier: Apache-2.0
#include "cgroup/mounted_controllers.h"

#include <fmt/format.h>
#include <libcgroup.h>

#include <memory>

namespace conode {
namespace {

Failure library_failure(const char* call, int code) {
  if (code == ECGOTHER)
    return code_failure(cgroup_get_last_errno(), fmt::format("libcgroup: {}", call));
  return failure(fmt::format("libcgroup: {}: {}", call, cgroup_strerror(code)));
}

void no_log(void* /*userdata*/, int /*level*/, const char* /*format*/, va_list /*arguments*/) {}

}  // namespace

Result<std::vector<MountedController>> mounted_controllers() {
  ::cgroup_set_logger(&no_log, CGROUP_LOG_ERROR, nullptr);  // libraries never log
  std::vector<MountedController> found;
  int code = ::cgroup_init();
  if (code == ECGROUPNOTMOUNTED) return found;
  if (code != 0) return library_failure("cgroup_init", code);
  void* handle = nullptr;
  const auto info = std::make_unique<cgroup_mount_point>();  // 8 KiB: not on a fiber's stack
  code = ::cgroup_get_controller_begin(&handle, info.get());
  for (; code == 0; code = ::cgroup_get_controller_next(&handle, info.get()))
    found.push_back({info->name, info->path});
  ::cgroup_get_controller_end(&handle);
  if (code != ECGEOF) return library_failure("cgroup_get_controller_next", code);
  return found;
}

}  // namespace conode
