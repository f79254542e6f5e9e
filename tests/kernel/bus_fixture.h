// SPDX-License-Identifier: Apache-2.0
// Agents of one job in this process, what happened to them, and a check for descriptors left over.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "tests/support/bus_world.h"

namespace conode::bus {

class BusTest : public ::testing::Test {
 protected:
  static constexpr std::chrono::seconds kPatience{20};

  void SetUp() override { descriptors_before_ = descriptors(); }
  void TearDown() override {
    world_.reset();
    EXPECT_EQ(descriptors(), descriptors_before_);
  }

  // Quick to notice a death; slow enough for a busy machine.
  static Timing quick() {
    return {.heartbeat = std::chrono::milliseconds(100),
            .dead_after = std::chrono::milliseconds(1500),
            .adopt_after = std::chrono::milliseconds(500)};
  }

  void make(WorldOptions options) {
    auto world = BusWorld::create(std::move(options), [this](Rank rank, const Event& event) {
      events_[rank].push_back(event);
      if (on_event_) on_event_(rank, event);
    });
    ASSERT_TRUE(world) << world.error().message();
    world_ = std::move(*world);
  }
  void boot(WorldOptions options) {
    const uint32_t others = options.size - 1;
    make(std::move(options));
    const Result<void> started = world_->start_all();
    ASSERT_TRUE(started) << started.error().message();
    ASSERT_TRUE(wait_for([&] { return count<Joined>(kRoot) == others; }))
        << "joined: " << root().joined().text();
  }

  template <typename T>
  [[nodiscard]] std::vector<T> all(Rank rank) {
    std::vector<T> found;
    for (const Event& event : events_[rank])
      if (const T* wanted = std::get_if<T>(&event)) found.push_back(*wanted);
    return found;
  }
  template <typename T>
  [[nodiscard]] size_t count(Rank rank) {
    return all<T>(rank).size();
  }
  [[nodiscard]] Bus& root() { return world_->bus(kRoot); }
  bool wait_for(const std::function<bool()>& done, std::chrono::milliseconds most = kPatience) {
    return world_->run_until(done, most);
  }
  static Message text(const std::string& text) {
    Message message;
    message.set_opaque(text);
    return message;
  }
  // What each rank received, in order.
  [[nodiscard]] std::vector<std::string> texts(Rank rank) {
    std::vector<std::string> texts;
    for (const Received& received : all<Received>(rank)) texts.push_back(received.message.opaque());
    return texts;
  }
  static size_t descriptors() { return list_dir("/proc/self/fd").value().size(); }

  std::map<Rank, std::vector<Event>> events_;
  std::function<void(Rank, const Event&)> on_event_;
  std::unique_ptr<BusWorld> world_;

 private:
  size_t descriptors_before_ = 0;
};

}  // namespace conode::bus
