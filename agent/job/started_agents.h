// SPDX-License-Identifier: Apache-2.0
// The processes by which rank 0 has started the other agents. On the loop's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <string>

#include "agent/base/process.h"

namespace conode::job {

class StartedAgents {
 public:
  // `how` reads "ended with exit code 1".
  using OnEnd = std::function<void(uint32_t rank, const std::string& how)>;

  StartedAgents(boost::asio::io_context& loop, OnEnd on_end)
      : loop_(loop), on_end_(std::move(on_end)), patience_(loop) {}

  void add(uint32_t rank, Process process);
  // `done` once all have ended; those that have not after `patience` are killed, and given 5 s.
  void when_all_ended(std::chrono::milliseconds patience, std::function<void()> done);

 private:
  struct Running {
    Process process;
    boost::asio::posix::stream_descriptor pidfd;
  };
  void on_ended(uint32_t rank);
  void look_whether_all_ended();
  void kill_all();

  boost::asio::io_context& loop_;
  OnEnd on_end_;
  boost::asio::steady_timer patience_;
  std::map<uint32_t, std::unique_ptr<Running>> running_;
  std::function<void()> done_;
};

}  // namespace conode::job
