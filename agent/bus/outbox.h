// SPDX-License-Identifier: Apache-2.0
// What waits to go up. Everything that comes within a moment goes as one report, so that a hello of
// each of thousands of agents costs rank 0 a few messages. On the loop of the executor.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>

#include "agent/bus/wire.pb.h"

namespace conode::bus {

class Outbox {
 public:
  // `send` is given the report; false: it is kept and tried again by the next flush().
  Outbox(const boost::asio::any_io_executor& executor, std::chrono::milliseconds gather_for,
         std::function<bool(wire::Report&)> send)
      : timer_(executor), gather_for_(gather_for), send_(std::move(send)) {}

  // The report to add to; it goes soon.
  wire::Report& add();
  void flush();

 private:
  boost::asio::steady_timer timer_;
  std::chrono::milliseconds gather_for_;
  std::function<bool(wire::Report&)> send_;
  wire::Report pending_;
  bool scheduled_ = false;
  bool dirty_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace conode::bus
