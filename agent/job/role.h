// SPDX-License-Identifier: Apache-2.0
// What differs between the node with the control plane (rank 0) and the others. The agent owns the
// role and calls it on its loop's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/expose/host_sockets.h"
#include "agent/job/containers.h"
#include "agent/job/life_cycle.h"
#include "agent/job/node_agent.h"
#include "agent/proto/agent.pb.h"
#include "agent/services/supervisor.h"

namespace conode::job {

// What a role may use of its agent. `link` and `supervisor` are there from sandbox_up() on.
struct AgentContext {
  boost::asio::io_context& loop;
  const AgentOptions& options;
  std::string dir;          // of the job's state
  std::string home_cgroup;  // where the agent was started, from begin() on; empty: no cgroups
  std::function<void(const std::string&)> phase;
  std::function<void()> look_again;  // something that ready() depends on has changed
  std::function<void(Error, Event)> fail;
  std::function<void(Event)> handle;
  Containers& containers;
  std::function<void(services::ServiceSpec)> add_service;
  services::SandboxLink* link = nullptr;
};

// What rank 0 takes from the host before it may have moved into a network namespace of its own.
struct HostSide {
  // At one port of the loopback: the machine's and, where that is another one, the first node's.
  std::vector<UniqueFd> api_listeners;
  expose::HostSockets sockets;
};

class Role {
 public:
  using Ended = std::function<void(std::vector<std::string> left)>;

  Role() = default;
  Role(const Role&) = delete;
  Role& operator=(const Role&) = delete;
  virtual ~Role() = default;

  // Started when the sandbox is up, by their dependencies.
  [[nodiscard]] virtual std::vector<services::ServiceSpec> services() const = 0;
  // Before the sandbox is made.
  [[nodiscard]] virtual Result<void> begin() = 0;
  // `tun`: queues of the relay's device; empty on a job of one node.
  [[nodiscard]] virtual Result<void> sandbox_up(std::vector<UniqueFd> tun) = 0;
  virtual void service_ready(const std::string& name) = 0;
  // Besides the services and the images of the start.
  [[nodiscard]] virtual bool ready() const = 0;
  // What ready() is waiting for, for a message; empty: nothing.
  [[nodiscard]] virtual std::string waiting_for() const = 0;
  // The node is ready.
  virtual void announce() = 0;
  // The job ends; the sandbox is being removed meanwhile.
  virtual void begin_end() = 0;
  // The node is clean but for `left`. `ended` gets that and what other nodes have left, once.
  virtual void finish_end(std::vector<std::string> left, Ended ended) = 0;
  virtual void describe(agent::StatusReply& reply) const = 0;
  // Answers once, at any time.
  virtual void expose(const agent::ExposeRequest& request,
                      std::function<void(agent::ExposeReply)> done) = 0;
  virtual void spread_image(const agent::SpreadImageRequest& request,
                            std::function<void(agent::SpreadImageReply)> done) = 0;
};

// `launcher`: null on a job of one node.
[[nodiscard]] std::unique_ptr<Role> make_control_plane(AgentContext& context, HostSide host,
                                                       std::unique_ptr<launch::Launcher> launcher);
[[nodiscard]] std::unique_ptr<Role> make_worker(AgentContext& context);

}  // namespace conode::job
