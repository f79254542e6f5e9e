// SPDX-License-Identifier: Apache-2.0
// The state of one job on one node: a directory below the user's state directory, held by a lock
// while its agent lives. Whoever finds a directory without a holder may sweep it. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode::job {

// What the command line needs to know of a job without asking its agent; `instance.json`.
struct Instance {
  std::string job;
  uint32_t rank = 0;             // of the node among those of its job
  std::string instance;          // random: tells this run from an earlier one of the same name
  int pid = 0;                   // of the agent
  int init_pid = 0;              // of the sandbox's init
  uint64_t init_start_time = 0;  // field 22 of proc_pid_stat(5): tells a reused pid
  std::string enforcement;
  std::string hpc_cpus;  // kernel list format
  std::string k8s_cpus;
  bool shared_core = false;
  std::string cgroup;  // of the job; empty: none
  std::string bundle;
  int api_port = 0;             // on the host's loopback
  uint64_t network = 0;         // inode of the network namespace that is the node's host
  bool shared_machine = false;  // the job's nodes are made of this machine
  int stop_grace = 0;           // seconds that processes get to end by themselves
};

// Inode of the caller's network namespace; 0: unknown.
[[nodiscard]] uint64_t own_network();

[[nodiscard]] std::string to_json(const Instance& instance);
[[nodiscard]] Result<Instance> instance_from_json(const std::string& text);

// Checks and makes the user's state directory: his own, 0700, no symbolic link, on a local file
// system unless `allow_network` is set.
[[nodiscard]] Result<void> prepare_base(const std::string& base, bool allow_network);

// Name of the network file system with that magic number (statfs(2)); null: it is none.
[[nodiscard]] const char* network_file_system(unsigned long magic);
// Refuses a network file system; `path` exists.
[[nodiscard]] Result<void> check_file_system(const std::string& path);

// Names usable as part of paths, cgroups and host names: letters, digits, '.', '_' and '-', at most
// 48, beginning with a letter or a digit.
[[nodiscard]] Result<void> check_job_name(const std::string& job);

// Refuses a state directory in which paths of sockets would be too long (unix(7)).
[[nodiscard]] Result<void> check_path_length(const std::string& base, const std::string& job);

// Is a file of this name in a job's directory what tells whose the directory is?
[[nodiscard]] bool says_whose(const std::string& name);

// Held while a job's directory is made, taken from the dead or removed, so that nobody sees half of
// it. For moments only. Fails where the base is not the user's own.
[[nodiscard]] Result<UniqueFd> lock_base(const std::string& base);

class JobDir {
 public:
  // Makes `<base>/<job>` and takes its lock. Fails where an agent holds it; what a dead one left
  // must have been swept before.
  [[nodiscard]] static Result<JobDir> create(const std::string& base, const std::string& job);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Result<void> write(const Instance& instance) const;

 private:
  JobDir(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  UniqueFd lock_;
};

struct FoundJob {
  std::string job;
  std::string path;
  bool alive = false;                // an agent holds the lock
  std::optional<Instance> instance;  // absent: died before it wrote it
};

// All jobs of the user below `base`; none where it does not exist. Fails where it is not the
// user's.
[[nodiscard]] Result<std::vector<FoundJob>> find_jobs(const std::string& base);

// A job whose agent is gone, held against everyone else who would start or remove it.
struct DeadJob {
  FoundJob found;
  UniqueFd lock;
};
// Empty where an agent (or somebody who removes it) has it, or there is none.
[[nodiscard]] Result<std::optional<DeadJob>> take_dead(const std::string& base,
                                                       const std::string& job);

// Of proc_pid_stat(5).
struct ProcessStat {
  char state = '?';
  uint64_t start_time = 0;  // in clock ticks since boot
  [[nodiscard]] bool ended() const { return state == 'Z' || state == 'X'; }
};
[[nodiscard]] std::optional<ProcessStat> process_stat(int pid);

// Start time of a process, in clock ticks since boot; absent where there is none, or it has ended.
[[nodiscard]] std::optional<uint64_t> process_start_time(int pid);

}  // namespace conode::job
