// SPDX-License-Identifier: Apache-2.0
// A node for tests of the CNI plugin: private user, network and mount namespaces, containers that
// are network namespaces with a path, and the plugin called as a runtime calls it. One thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/base/process.h"
#include "agent/base/temp_dir.h"
#include "netplug/link/netns.h"

namespace conode::test {

// Moves this process, which must have one thread, into namespaces of its own as their root. No
// privilege needed where users may make user namespaces.
[[nodiscard]] Result<void> enter_private_namespaces();

// A network namespace at a path, as a runtime makes it (a bind mount of its nsfs file).
class Container {
 public:
  // `id` is its CNI_CONTAINERID; the path is below `dir`.
  [[nodiscard]] static Result<Container> create(const std::string& dir, const std::string& id);
  Container(Container&& other) noexcept
      : id_(std::move(other.id_)),
        path_(std::exchange(other.path_, {})),
        netns_(std::move(other.netns_)) {}
  Container& operator=(Container&&) = delete;
  ~Container() { remove(); }

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const Netns& netns() const { return *netns_; }
  // Unmounts: with the last holder the namespace goes.
  void remove();

 private:
  Container() = default;
  std::string id_;
  std::string path_;  // empty: removed
  std::optional<Netns> netns_;
};

// One call of a plugin.
struct CniCall {
  std::string program;
  std::string command;
  std::string container;
  std::string netns;
  std::string interface = "eth0";
  std::string path;    // CNI_PATH
  std::string input;   // standard input
  std::string output;  // standard output goes to this file; empty: to CniAnswer
};

struct CniAnswer {
  ExitStatus status;
  std::string output;
  [[nodiscard]] bool ok() const;
  // Null where the output is no JSON.
  [[nodiscard]] nlohmann::json json() const;
  // The error code of a failure; 0 for success.
  [[nodiscard]] int code() const;
};

// A plugin that runs: end it by wait(), or process().kill().
class RunningPlugin {
 public:
  [[nodiscard]] static Result<RunningPlugin> start(const CniCall& call);
  [[nodiscard]] Process& process() { return process_; }
  // Until its output ends and it has exited.
  [[nodiscard]] Result<CniAnswer> wait();

 private:
  RunningPlugin(Process process, UniqueFd output)
      : process_(std::move(process)), output_(std::move(output)) {}
  Process process_;
  UniqueFd output_;
};

[[nodiscard]] Result<CniAnswer> call_plugin(const CniCall& call);

}  // namespace conode::test
