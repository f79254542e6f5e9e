// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/remote.h"

#include "agent/launch/ticket_file.h"

namespace conode::launch {

Result<Process> Remote::start(uint32_t rank, const Start& how) {
  const UniqueFd standard_input = TRY(ticket_file(how.ticket));
  return Process::spawn({.argv = over_there(rank, {program_, "agent"}, {}),
                         .fds = {{0, standard_input.get()}, {1, how.log}, {2, how.log}},
                         .cgroup = how.cgroup,
                         .new_session = true});
}

Result<Process> Remote::run(uint32_t rank, const Command& command) {
  return Process::spawn(
      {.argv = rank == 0 ? command.argv : over_there(rank, command.argv, command.working_dir),
       .environment = command.environment,
       .working_dir = command.working_dir,
       .fds = command.fds,
       .new_session = true});
}

}  // namespace conode::launch
