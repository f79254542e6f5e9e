// SPDX-License-Identifier: Apache-2.0
// Hosts for tests and benchmarks of the job's VXLAN: network namespaces with an MTU of 1500 on one
// bridge, in which conode-hook runs as root, and users' network namespaces on them. One thread.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/process.h"
#include "agent/base/temp_dir.h"
#include "netplug/link/netns.h"
#include "netplug/uplink/vxlan_link.h"
#include "netplug/vxlan/handover.h"

namespace conode::test {

inline constexpr uid_t kJobUser = 1000;
inline constexpr uid_t kOtherUser = 1001;

// Moves this process, which must have one thread, into network and mount namespaces of its own: as
// root where it is root, else as the root of a user namespace with subordinate ids. Processes that
// lose their parent become its children. Fails where there are no such ids.
[[nodiscard]] Result<void> become_root_of_hosts();

// Runs `fn` as user `uid` without any capability; what it returns. A failure comes back as text.
[[nodiscard]] Result<std::string> run_as(uid_t uid, const std::function<Result<std::string>()>& fn);

// A network namespace in a user namespace of its own, both made by `uid`.
class UserNetns {
 public:
  [[nodiscard]] static Result<UserNetns> create(uid_t uid);
  [[nodiscard]] const Netns& netns() const { return netns_; }
  // The user namespace: no network namespace.
  [[nodiscard]] const UniqueFd& user_namespace() const { return user_namespace_; }

 private:
  UserNetns(Netns netns, UniqueFd user_namespace)
      : netns_(std::move(netns)), user_namespace_(std::move(user_namespace)) {}
  Netns netns_;
  UniqueFd user_namespace_;
};

struct HookRun {
  ExitStatus status;
  std::string output;  // both streams
  [[nodiscard]] bool ok() const { return shell_exit_code(status) == 0; }
};

class VxlanHost {
 public:
  [[nodiscard]] const Netns& netns() const { return *netns_; }
  [[nodiscard]] uint32_t rank() const { return rank_; }
  [[nodiscard]] const std::string& address() const { return address_; }  // "172.31.0.1"
  [[nodiscard]] const std::string& run_dir() const { return run_dir_; }
  [[nodiscard]] std::string socket(const std::string& job) const;

  // The arguments after `conode-hook`, with --run-dir.
  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> arguments) const;
  [[nodiscard]] Result<HookRun> hook(std::vector<std::string> arguments) const;
  [[nodiscard]] Result<HookRun> down(const std::string& job) const;
  // As the job's user does. The link is up, with ways to the `peers`.
  [[nodiscard]] Result<VxlanLink> give(const std::string& job, const UserNetns& user,
                                       const std::vector<uint32_t>& peers,
                                       uid_t uid = kJobUser) const;
  // Rules of nft(8), as text.
  [[nodiscard]] Result<std::string> rules() const;

 private:
  friend class VxlanWorld;
  uint32_t rank_ = 0;
  std::optional<Netns> netns_;
  std::string address_;
  std::string run_dir_;
};

class VxlanWorld {
 public:
  [[nodiscard]] static Result<VxlanWorld> create(uint32_t hosts);
  [[nodiscard]] VxlanHost& host(size_t index) { return hosts_.at(index); }
  [[nodiscard]] std::deque<VxlanHost>& hosts() { return hosts_; }
  // What `up` is told on that host for a job of the first `size` hosts.
  [[nodiscard]] std::vector<std::string> up(const std::string& job, uint32_t rank,
                                            uint32_t size) const;

 private:
  explicit VxlanWorld(TempDir dir) : dir_(std::move(dir)) {}
  TempDir dir_;
  std::deque<VxlanHost> hosts_;
};

// Children that have ended are reaped; how many still run.
[[nodiscard]] int running_children();

}  // namespace conode::test
