// SPDX-License-Identifier: Apache-2.0
// Many agents of one job in one process, over loopback TCP: the real bus, no sandbox. All of it is
// on the caller's thread, but for libzmq's I/O threads.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/bus/bus.h"

namespace conode::bus {

struct WorldOptions {
  uint32_t size = 1;
  uint32_t arity = 2;
  int io_threads = 1;
  Timing timing;
  std::string file_dir;  // agents get sub-directories by rank; empty: no files
  // Of a job in several processes, this one has the ranks r with r % parts == part.
  uint32_t part = 0;
  uint32_t parts = 1;
  std::optional<Secret> secret;  // the same in all of them; none: a new one
  std::string root_endpoint;     // rank 0's, where another process has it
};

class BusWorld {
 public:
  using OnEvent = std::function<void(Rank, const Event&)>;

  static Result<std::unique_ptr<BusWorld>> create(WorldOptions options, OnEvent on_event);
  ~BusWorld();

  // Rank 0 first; the others learn its endpoint.
  Result<void> start(Rank rank);
  Result<void> start_all();
  // As kill -9: its connections break.
  void kill(Rank rank) { buses_.at(rank).reset(); }
  [[nodiscard]] Bus& bus(Rank rank) { return *buses_.at(rank); }
  [[nodiscard]] Context& context() { return *context_; }
  [[nodiscard]] const std::shared_ptr<Context>& shared_context() { return context_; }
  [[nodiscard]] const Secret& secret() const { return secret_; }
  [[nodiscard]] boost::asio::io_context& loop() { return loop_; }
  [[nodiscard]] BusOptions options_of(Rank rank) const;

  // Runs the loop until `done` holds (looked at after every event, and each millisecond where other
  // processes have a part in it); false where `timeout` passed before.
  bool run_until(const std::function<bool()>& done, std::chrono::milliseconds timeout);

 private:
  BusWorld(WorldOptions options, OnEvent on_event);

  WorldOptions options_;
  OnEvent on_event_;
  Secret secret_;
  boost::asio::io_context loop_{1};
  std::shared_ptr<Context> context_;
  std::vector<std::unique_ptr<Bus>> buses_;
  std::string root_endpoint_;
};

}  // namespace conode::bus
