// SPDX-License-Identifier: Apache-2.0
// How others connect rootless nodes (Usernetes): a kernel VXLAN in each node's namespace, whose UDP
// goes through pasta(1) or slirp4netns(1). Between two nodes, until the object goes. One thread.
#pragma once

#include <vector>

#include "agent/base/process.h"
#include "agent/base/temp_dir.h"
#include "tests/bench/path_measurements.h"
#include "tests/support/uplink_world.h"

namespace conode::test {

class UserModeVxlan {
 public:
  enum class Program : uint8_t { pasta, slirp4netns };

  [[nodiscard]] static Result<UserModeVxlan> start(Program program, UplinkNode& a, UplinkNode& b);
  UserModeVxlan(UserModeVxlan&&) = default;
  UserModeVxlan& operator=(UserModeVxlan&&) = delete;
  UserModeVxlan(const UserModeVxlan&) = delete;
  ~UserModeVxlan();
  [[nodiscard]] Ends ends() const;

 private:
  UserModeVxlan(UplinkNode& a, UplinkNode& b, TempDir dir) : nodes_{&a, &b}, dir_(std::move(dir)) {}
  [[nodiscard]] Result<std::string> name_namespace(const Netns& netns, size_t index);
  [[nodiscard]] Result<void> open_way(Program program, size_t index);
  [[nodiscard]] Result<void> forward_by_slirp4netns(size_t index);
  [[nodiscard]] Result<void> make_vxlan(Program program, size_t index);

  std::vector<UplinkNode*> nodes_;
  TempDir dir_;
  std::vector<Process> programs_;  // the devices go with them
};

}  // namespace conode::test
