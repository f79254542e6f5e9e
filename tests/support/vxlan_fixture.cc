// SPDX-License-Identifier: Apache-2.0
#include "tests/support/vxlan_fixture.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "agent/base/file.h"
#include "netplug/vxlan/job_dir.h"

namespace conode::test {
namespace {

// Why there are no namespaces to test in; empty when this process is in them.
std::string& missing_need() {
  static std::string reason = "not set up";
  return reason;
}

class Hosts : public testing::Environment {
 public:
  void SetUp() override {
    const Result<void> entered = become_root_of_hosts();
    missing_need() = entered ? "" : entered.error().message();
  }
};

const testing::Environment* const kHosts = testing::AddGlobalTestEnvironment(new Hosts);

size_t open_descriptors() {
  return list_dir("/proc/self/fd").value_or(std::vector<std::string>{}).size();
}

}  // namespace

bool becomes_true(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

void VxlanFixture::SetUp() {
  ASSERT_NE(kHosts, nullptr);
  if (!missing_need().empty()) GTEST_SKIP() << missing_need();
  descriptors_ = open_descriptors();
}

void VxlanFixture::TearDown() {
  if (!missing_need().empty()) return;
  links_.clear();
  users_.clear();
  if (world_) {
    if (HasFailure()) down();
    for (VxlanHost& host : world_->hosts()) {
      EXPECT_EQ(host.rules().value(), "") << host.address();
      EXPECT_EQ(list_dir(host.run_dir()).value_or(std::vector<std::string>{}).size(), 0U)
          << host.address();
    }
    world_.reset();
  }
  EXPECT_TRUE(becomes_true([] { return running_children() == 0; }));
  EXPECT_EQ(open_descriptors(), descriptors_);
}

void VxlanFixture::make_hosts(uint32_t hosts) {
  Result<VxlanWorld> made = VxlanWorld::create(hosts);
  ASSERT_TRUE(made) << made.error().message();
  world_.emplace(std::move(*made));
}

void VxlanFixture::up(uint32_t size, const std::string& job) {
  for (uint32_t rank = 0; rank < size; ++rank) {
    const HookRun run = host(rank).hook(world_->up(job, rank, size)).value();
    ASSERT_TRUE(run.ok()) << run.output;
  }
}

void VxlanFixture::down(const std::string& job) {
  for (VxlanHost& host : world_->hosts()) {
    const HookRun run = host.down(job).value();
    EXPECT_TRUE(run.ok()) << run.output;
  }
}

void VxlanFixture::join(uint32_t rank, uint32_t size) {
  Result<UserNetns> user = UserNetns::create(kJobUser);
  ASSERT_TRUE(user) << user.error().message();
  links_.erase(rank);
  users_.insert_or_assign(rank, std::move(*user));
  std::vector<uint32_t> peers;
  for (uint32_t peer = 0; peer < size; ++peer)
    if (peer != rank) peers.push_back(peer);
  Result<VxlanLink> link = host(rank).give(kJob, users_.at(rank), peers);
  ASSERT_TRUE(link) << link.error().message();
  links_.insert_or_assign(rank, std::move(*link));
}

pid_t VxlanFixture::keeper(uint32_t rank, const std::string& job) {
  const HookDirectory hooks = HookDirectory::open(host(rank).run_dir()).value();
  const std::optional<VxlanJobDir> dir = VxlanJobDir::find(hooks, job).value();
  if (!dir) return 0;
  const std::optional<Keeper> keeper = dir->keeper().value();
  return keeper ? keeper->pid : 0;
}

}  // namespace conode::test
