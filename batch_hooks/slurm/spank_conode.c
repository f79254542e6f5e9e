// SPDX-License-Identifier: Apache-2.0
// A SPANK plugin for Slurm before 24.05, whose Prolog runs outside of the job: when a task has its
// cgroup and its program has not begun, it calls conode-hook as root, with an argument vector and
// an empty environment. Whatever goes wrong, the task runs.
#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

// After the others: before Slurm 23.02 it needs their types, and does not include them.
#include <slurm/spank.h>

SPANK_PLUGIN(conode, 1)

#define NUMBER 24

static void call_hook(char* const argv[]) {
  static char* const environment[] = {NULL};
  pid_t child = 0;
  int status = 0;
  if (posix_spawn(&child, CONODE_HOOK, NULL, NULL, argv, environment) != 0) {
    slurm_error("conode: cannot start %s", CONODE_HOOK);
    return;
  }
  pid_t ended = 0;
  do ended = waitpid(child, &status, 0);
  while (ended < 0 && errno == EINTR);
  if (ended != child || status != 0)
    slurm_error("conode: %s %s ended with status %d", CONODE_HOOK, argv[1], status);
}

int slurm_spank_task_post_fork(spank_t spank, int argc, char** argv) {
  (void)argc;
  (void)argv;
  uint32_t job = 0;
  uid_t user = 0;
  gid_t group = 0;
  pid_t task = 0;
  int place = 0;  // of the task on this node: one call for each step is enough
  if (spank_get_item(spank, S_TASK_ID, &place) == ESPANK_SUCCESS && place > 0)
    return ESPANK_SUCCESS;
  if (spank_get_item(spank, S_JOB_ID, &job) != ESPANK_SUCCESS ||
      spank_get_item(spank, S_JOB_UID, &user) != ESPANK_SUCCESS ||
      spank_get_item(spank, S_JOB_GID, &group) != ESPANK_SUCCESS ||
      spank_get_item(spank, S_TASK_PID, &task) != ESPANK_SUCCESS || user == 0)
    return ESPANK_SUCCESS;
  char numbers[4][NUMBER];
  (void)snprintf(numbers[0], NUMBER, "%u", (unsigned)job);
  (void)snprintf(numbers[1], NUMBER, "%u", (unsigned)user);
  (void)snprintf(numbers[2], NUMBER, "%u", (unsigned)group);
  (void)snprintf(numbers[3], NUMBER, "%d", (int)task);
  char* const words[] = {(char*)CONODE_HOOK,
                         (char*)"delegate",
                         (char*)"--job",
                         numbers[0],
                         (char*)"--uid",
                         numbers[1],
                         (char*)"--gid",
                         numbers[2],
                         (char*)"--pid",
                         numbers[3],
                         NULL};
  call_hook(words);
  return ESPANK_SUCCESS;
}
