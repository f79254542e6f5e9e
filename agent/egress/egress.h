// SPDX-License-Identifier: Apache-2.0
// The way from a node's sandbox to the site's network, kept open: pasta or slirp4netns and its
// attendant, children of the agent in the Kubernetes part. Nobody waits for it; when it ends, it is
// started again. On the event loop's thread, which is the agent's main thread.
#pragma once

#include <sched.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/process.h"
#include "agent/base/result.h"
#include "agent/egress/choice.h"

namespace conode::egress {

struct Options {
  Choice choice;
  pid_t sandbox = 0;
  std::string node_address;
  std::string pod_prefix;           // of the cluster
  std::vector<std::string> inside;  // prefixes that never leave: the Services'
  std::optional<Inward> inward;     // absent: nothing comes in
  std::string libexec_dir;          // holds conode-init
  std::string log_path;
  cpu_set_t cpus{};
  std::pair<std::string, std::string> marker;  // variable of both, for whoever cleans up
  std::string cgroup;  // directory; made where it is missing; empty: the caller's
};

class Egress {
 public:
  Egress(boost::asio::io_context& loop, Options options);
  Egress(const Egress&) = delete;
  Egress& operator=(const Egress&) = delete;
  ~Egress();

  // "pasta, masqueraded as 198.19.255.100, MTU 65520"; what is wrong where it is not up.
  [[nodiscard]] std::string describe() const;
  // Of the program; 0: none runs.
  [[nodiscard]] pid_t pid() const;

 private:
  struct Run;  // the two processes, from start to end

  void start();
  [[nodiscard]] Result<void> try_start();
  [[nodiscard]] Result<UniqueFd> cgroup() const;
  void read_report();
  [[nodiscard]] Result<void> let_in() const;
  void wait_for_end();
  void again(const std::string& why);

  boost::asio::io_context& loop_;
  Options options_;
  boost::asio::steady_timer pause_;
  std::shared_ptr<Run> run_;  // shared with handlers that are under way
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  bool up_ = false;
  std::chrono::steady_clock::time_point up_since_;
  int failures_ = 0;     // in a row
  std::string trouble_;  // of the last run
};

}  // namespace conode::egress
