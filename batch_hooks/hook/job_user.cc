// SPDX-License-Identifier: Apache-2.0
#include "batch_hooks/hook/job_user.h"

#include <fmt/format.h>

#include <sstream>

#include "agent/base/file.h"

namespace conode::hook {
namespace {

constexpr uid_t kFirstUser = 1000;
constexpr uint32_t kNobody = 65534;  // what ids that are not mapped look like, too

uid_t first_user(const std::string& login_defs) {
  std::istringstream lines(read_file(login_defs).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    uid_t value = 0;
    if (words >> key >> value && key == "UID_MIN" && value > 0) return value;
  }
  return kFirstUser;
}

bool is_nobody(uint32_t id) { return id == kNobody || id == ~uint32_t{0}; }

}  // namespace

Result<void> check_job_user(uid_t user, gid_t group, const std::string& login_defs) {
  if (user == 0 || group == 0)
    return code_failure(EPERM, "--uid, --gid: root needs no help with a job");
  if (is_nobody(user) || is_nobody(group))
    return code_failure(EPERM, fmt::format("--uid {}, --gid {}: that is nobody", user, group));
  if (const uid_t first = first_user(login_defs); user < first)
    return code_failure(EPERM, fmt::format("--uid {}: a user of the system's ('{}' has UID_MIN {})",
                                           user, login_defs, first));
  return {};
}

}  // namespace conode::hook
