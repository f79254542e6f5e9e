// SPDX-License-Identifier: Apache-2.0
// A test of the relay on nodes of its own, and traffic through it. At the end no descriptor and no
// thread may be left.
#pragma once

#include <gmock/gmock.h>

#include "tests/support/traffic.h"
#include "tests/support/uplink_world.h"

namespace conode::test {

class UplinkFixture : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Nodes whose relays know each other.
  void make_world(size_t nodes, const NodeOptions& options, Wire wire = Wire::routed);
  void make_hosts(size_t nodes, Wire wire = Wire::routed);

  [[nodiscard]] UplinkNode& node(size_t index) { return world_->node(index); }
  [[nodiscard]] static Ipv4Address address_of(const UplinkNode& node) {
    return Ipv4Address::parse(node.node_address()).value();
  }
  // A byte stream of `size` random bytes from one sandbox to another over one TCP connection: fails
  // where it does not arrive whole and unchanged within `patience`.
  [[nodiscard]] static Result<void> transfer(
      const UplinkNode& from, const UplinkNode& to, size_t size,
      std::chrono::seconds patience = std::chrono::seconds(30));
  // UDP datagrams of `size` bytes, one after the other, each waited for a little: how many came.
  [[nodiscard]] static Result<size_t> datagrams(const UplinkNode& from, const UplinkNode& to,
                                                size_t size, size_t count);
  [[nodiscard]] bool reaches(const UplinkNode& from, const UplinkNode& to) {
    return ping(from.sandbox(), address_of(to)).has_value();
  }

  std::optional<UplinkWorld> world_;

 private:
  size_t descriptors_ = 0;
  size_t threads_ = 0;
};

}  // namespace conode::test
