// SPDX-License-Identifier: Apache-2.0
// Many agents of one job in one process, over loopback TCP: the real bus, no sandbox. The agents
// are dealt to one or more loops; the first is the caller's thread (rank 0 and the gate are on it).
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/bus/bus.h"

namespace conode::bus {

struct WorldOptions {
  uint32_t size = 1;
  uint32_t arity = 2;
  int io_threads = 1;
  int loops = 1;
  Timing timing;
  std::string file_dir;  // agents get sub-directories by rank; empty: no files
};

class BusWorld {
 public:
  // on_event: on the loop of that rank.
  using OnEvent = std::function<void(Rank, const Event&)>;

  static Result<std::unique_ptr<BusWorld>> create(WorldOptions options, OnEvent on_event);
  ~BusWorld();

  // Rank 0 first; the others learn its endpoint.
  Result<void> start(Rank rank);
  Result<void> start_all();
  // As kill -9: its connections break.
  void kill(Rank rank);
  [[nodiscard]] Bus& bus(Rank rank) { return *buses_.at(rank); }
  [[nodiscard]] bool runs(Rank rank) const { return buses_.at(rank) != nullptr; }
  [[nodiscard]] Context& context() { return *context_; }
  [[nodiscard]] const std::shared_ptr<Context>& shared_context() { return context_; }
  [[nodiscard]] const Secret& secret() const { return secret_; }
  [[nodiscard]] boost::asio::io_context& loop() { return *loops_.front(); }
  [[nodiscard]] BusOptions options_of(Rank rank) const;

  // Runs the first loop until `done` holds; false where `timeout` passed before.
  bool run_until(const std::function<bool()>& done, std::chrono::milliseconds timeout);

 private:
  using Loop = boost::asio::io_context;
  BusWorld(WorldOptions options, OnEvent on_event);
  [[nodiscard]] Loop& loop_of(Rank rank) { return *loops_.at(rank % loops_.size()); }
  void on_loop_of(Rank rank, const std::function<void()>& work);

  WorldOptions options_;
  OnEvent on_event_;
  Secret secret_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<boost::asio::executor_work_guard<Loop::executor_type>> guards_;
  std::shared_ptr<Context> context_;
  std::vector<std::unique_ptr<Bus>> buses_;
  std::string root_endpoint_;
  std::vector<std::thread> threads_;  // of all loops but the first
};

}  // namespace conode::bus
