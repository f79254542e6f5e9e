// SPDX-License-Identifier: Apache-2.0
// A test of the job's VXLAN on hosts of its own. At the end no keeper may be left, no rule in a
// host's packet filter, and nothing in its directory.
#pragma once

#include <gmock/gmock.h>

#include "tests/support/traffic.h"
#include "tests/support/vxlan_world.h"

namespace conode::test {

inline constexpr const char* kJob = "4711";

class VxlanFixture : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  void make_hosts(uint32_t hosts);
  // A VXLAN of `job` on the first `size` hosts.
  void up(uint32_t size, const std::string& job = kJob);
  void down(const std::string& job = kJob);
  // A user's namespace on that host, joined to those of the other ranks below `size`.
  void join(uint32_t rank, uint32_t size);

  [[nodiscard]] VxlanHost& host(size_t index) { return world_->host(index); }
  [[nodiscard]] const Netns& user(uint32_t rank) const { return users_.at(rank).netns(); }
  [[nodiscard]] bool reaches(uint32_t from, uint32_t to) {
    return ping(user(from), node_address(VxlanSettings{}.nodes, to)).has_value();
  }
  // The keeper's process; 0: none.
  [[nodiscard]] pid_t keeper(uint32_t rank, const std::string& job = kJob);

  std::optional<VxlanWorld> world_;
  std::map<uint32_t, UserNetns> users_;
  std::map<uint32_t, VxlanLink> links_;

 private:
  size_t descriptors_ = 0;
};

// Polls `holds` until it is true; false after ten seconds.
[[nodiscard]] bool becomes_true(const std::function<bool()>& holds);

}  // namespace conode::test
