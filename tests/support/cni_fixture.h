// SPDX-License-Identifier: Apache-2.0
// One test of the plugin on a node of its own: the private namespaces of cni_world.h with the
// network that the sandbox's init makes. At the end nothing may be left but what was there before.
#pragma once

#include <gmock/gmock.h>

#include <deque>
#include <string>
#include <vector>

#include "netplug/link/link.h"
#include "tests/support/cni_world.h"

namespace conode::test {

inline constexpr const char* kNodeAddress = "10.88.0.1";
inline constexpr const char* kRange = "10.244.0.0/24";

class CniFixture : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // The next container: c1, c2, ...
  Container& container();
  // The configuration on standard input, `more` merged into it (RFC 7396: null removes).
  [[nodiscard]] std::string config(const nlohmann::json& more = {}) const;
  [[nodiscard]] static nlohmann::json keeping(const std::vector<const Container*>& containers);

  CniAnswer call(const std::string& command, const Container& container,
                 const nlohmann::json& more = {});
  CniAnswer call(const std::string& command, const nlohmann::json& more = {});
  [[nodiscard]] CniCall prepared(const std::string& command, const Container& container,
                                 const nlohmann::json& more = {}) const;
  // ADD that must succeed: the container's address.
  Ipv4Address add(const Container& container, const nlohmann::json& more = {});

  // Waits for what DEL left behind to finish: such processes become our children.
  static void wait_for_background();
  // Host ends of veth pairs, and names of reserved addresses.
  [[nodiscard]] static std::vector<std::string> pod_links();
  [[nodiscard]] std::vector<std::string> reserved() const;

  [[nodiscard]] const std::string& dir() const { return dir_->path(); }

 private:
  std::optional<TempDir> dir_;
  std::deque<Container> containers_;
  size_t descriptors_ = 0;
};

}  // namespace conode::test
