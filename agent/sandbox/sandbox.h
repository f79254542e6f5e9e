// SPDX-License-Identifier: Apache-2.0
// The namespaces of one node agent and the init inside them. Move-only; the owner is the agent's
// main thread, which must outlive it: the init dies with the thread that made it.
#pragma once

#include <sched.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/process.h"
#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/sandbox/id_map.h"
#include "agent/sandbox/protocol.h"

namespace conode::sandbox {

struct Options {
  std::string level = "affinity";  // enforcement level
  std::string host_name;
  std::string state_dir;    // seen inside as kStatePath
  std::string bundle_dir;   // seen inside, read-only, as kBundlePath
  std::string libexec_dir;  // seen inside, read-only, as kLibexecPath; holds conode-init
  std::string node_address;
  int node_prefix_length = 16;
  std::string pod_prefix;
  std::string resolver;  // of the node's programs; empty: the host's
  int mtu = 1500;
  int tun_queues = 0;                   // of the relay's device; 0: none
  std::vector<std::string> tun_routes;  // prefixes behind it
  std::optional<cpu_set_t> cpus;        // the Kubernetes part
  int cgroup = -1;                      // directory fd of <job>/k8s; -1: none
  IdMap ids;
};

class Sandbox {
 public:
  // Makes the namespaces, maps the ids and starts the init, which sets itself up meanwhile and
  // then sends `up` or `failed`. Fails with a remedy where the kernel or the site forbids it.
  [[nodiscard]] static Result<Sandbox> create(const Options& options);

  [[nodiscard]] pid_t pid() const { return init_.pid(); }
  [[nodiscard]] int pidfd() const { return init_.pidfd(); }
  [[nodiscard]] int control() const { return control_.get(); }

  // One service; its pid or failure comes as a message with the same id. `log` takes its output.
  [[nodiscard]] Result<void> start(uint32_t id, const std::string& name,
                                   const std::vector<std::string>& argv,
                                   const std::vector<std::string>& environment, UniqueFd log);
  [[nodiscard]] Result<void> signal(uint32_t id, int number);
  // An IPv4 socket of the sandbox's network: `type` SOCK_STREAM or SOCK_DGRAM.
  [[nodiscard]] Result<void> request_socket(uint32_t id, int type);

  // When its control socket has closed.
  [[nodiscard]] std::string how_it_ended();
  // Kills the init, and so everything; waits for it, at most 10 s.
  [[nodiscard]] Result<void> destroy();

 private:
  Sandbox(Process init, UniqueFd control) : init_(std::move(init)), control_(std::move(control)) {}

  Process init_;
  UniqueFd control_;
};

// rm -rf as root of a user namespace with the same maps: what pods wrote belongs to subordinate
// ids that the user himself cannot remove.
[[nodiscard]] Result<void> remove_as_namespace_root(const std::string& path,
                                                    const std::string& libexec_dir,
                                                    const IdMap& ids);

}  // namespace conode::sandbox
