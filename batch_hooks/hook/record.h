// SPDX-License-Identifier: Apache-2.0
// What the hook has given to a job on this host, kept so that clean-up need not search: a file in
// the job's directory of the hook's (netplug/vxlan/job_dir.h), which only root writes to.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "netplug/vxlan/job_dir.h"

namespace conode::hook {

struct Record {
  std::string job;     // the batch system's id
  std::string cgroup;  // the job's directory, absolute; its last component names a job
  uid_t user = 0;
  gid_t group = 0;
};

// From the file's text. Fails unless it is two numbers and a path that is absolute, has no "..",
// and ends in a name that a job's directory can have.
[[nodiscard]] Result<Record> parse_record(const std::string& job, const std::string& text);

[[nodiscard]] std::string record_text(const Record& record);

[[nodiscard]] Result<void> write_record(const HookDirectory& hooks, const Record& record);
[[nodiscard]] Result<std::optional<Record>> read_record(const HookDirectory& hooks,
                                                        const std::string& job);
// Of all jobs. Those that cannot be read are left out.
[[nodiscard]] Result<std::vector<Record>> all_records(const HookDirectory& hooks);
// The job's directory goes too, unless there is something else in it.
[[nodiscard]] Result<void> remove_record(const HookDirectory& hooks, const std::string& job);

}  // namespace conode::hook
