// SPDX-License-Identifier: Apache-2.0
// What the agent has to do with this node's containerd: imports, one after the other on a thread of
// its own, and the news of containers that ended badly. On the loop's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/containerd/event.h"

namespace conode::job {

struct BadEnd {
  std::string container;  // id
  std::string name;       // "namespace/pod container"; empty: not known
  std::chrono::system_clock::time_point time;
  std::string what;  // "out of memory", "exit code 3"
};

class Containers {
 public:
  struct Handlers {
    std::function<void()> imported;            // one of the start
    std::function<void(const Error&)> failed;  // such an import
  };

  Containers(boost::asio::io_context& loop, std::string socket, Handlers handlers);
  ~Containers() { stop(); }

  // An OCI archive or layout of the job's start; begins when containerd is ready.
  void import(const std::string& source);
  // At any time, for somebody who waits for it: `done` is called on the loop's thread.
  using Done = std::function<void(const Result<void>&)>;
  void import_for(const std::string& source, const std::string& name, Done done);
  void remove_for(const std::string& name, Done done);
  void on_ready();
  [[nodiscard]] size_t awaited() const { return awaited_; }
  // The latest, oldest first.
  [[nodiscard]] const std::deque<BadEnd>& bad_ends() const { return bad_ends_; }
  // Waits for an import that is under way: containerd's end is its end, too.
  void stop();

 private:
  void when_ready(std::function<void()> task);
  void on_event(const containerd::Event& event, const std::string& name);

  boost::asio::io_context& loop_;
  std::string socket_;
  Handlers handlers_;
  bool ready_ = false;
  size_t awaited_ = 0;
  std::vector<std::function<void()>> queued_;  // until containerd is ready
  std::deque<BadEnd> bad_ends_;
  std::set<std::string> pauses_;  // ids
  boost::asio::thread_pool importing_{1};
  std::optional<containerd::EventStream> events_;
};

}  // namespace conode::job
