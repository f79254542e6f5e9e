// SPDX-License-Identifier: Apache-2.0
// Private to this folder: the agent of one node, behind run_agent(). Its work is in agent_begin.cc,
// agent_run.cc and agent_status.cc. On the thread that runs it, but for what says otherwise.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/system_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/egress/egress.h"
#include "agent/job/cleanup.h"
#include "agent/job/containers.h"
#include "agent/job/enforcement.h"
#include "agent/job/job_dir.h"
#include "agent/job/life_cycle.h"
#include "agent/job/node_agent.h"
#include "agent/job/orphans.h"
#include "agent/job/role.h"
#include "agent/job/rpc_server.h"
#include "agent/job/workload.h"
#include "agent/sandbox/sandbox.h"
#include "agent/services/supervisor.h"

namespace conode::job {

class NodeAgent {
 public:
  // `launcher`: of rank 0 on a job of several nodes.
  NodeAgent(AgentOptions options, JobDir dir, HostSide host,
            std::unique_ptr<launch::Launcher> launcher);

  Result<void> begin();
  Outcome run();
  // What begin() made before it failed.
  Outcome abandon(Error error);

 private:
  void handle(Event event);
  void perform(Action action);

  AgentContext context();
  Result<void> make_sandbox();
  Result<void> write_state();
  void listen_to_sandbox();
  void start_services();
  void start_egress();
  void on_service(const services::ServiceStatus& status);
  void on_imported();
  void on_sandbox_gone();
  void watch_deadline();
  void watch_time_limit();
  void watch_logs();
  void check_ready();
  void start_workload();
  void watch_orphans();
  void on_signal(int number);
  void end_by(int signal);
  void fail(Error error, Event event);
  void phase(const std::string& name);
  [[nodiscard]] std::vector<std::string> remove_everything();
  void tell_clean(std::vector<std::string> left);
  [[nodiscard]] std::string waiting_for() const;
  [[nodiscard]] FoundJob as_found() const { return {options_.job, dir_.path(), false, instance_}; }
  [[nodiscard]] agent::StatusReply status() const;
  Result<void> listen_for_calls();

  AgentOptions options_;
  JobDir dir_;
  Instance instance_;
  Enforced enforced_;
  State state_ = State::starting;
  Outcome outcome_;
  std::vector<Progress> phases_;
  std::optional<std::string> home_cgroup_;  // where we came from

  boost::asio::io_context loop_{1};
  boost::asio::thread_pool cleaning_{1};
  boost::asio::signal_set signals_;
  boost::asio::signal_set child_ended_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer log_timer_;
  boost::asio::system_timer limit_timer_;  // in the clock that the batch system counts in
  IdMap ids_;
  std::optional<sandbox::Sandbox> sandbox_;
  std::unique_ptr<services::SandboxLink> link_;
  std::unique_ptr<services::Supervisor> supervisor_;
  std::vector<UniqueFd> tun_;  // on their way from the init to the role
  Containers containers_;
  AgentContext context_;
  std::unique_ptr<Role> role_;
  std::unique_ptr<Workload> workload_;
  std::unique_ptr<egress::Egress> egress_;  // from the sandbox's start to the job's end
  Orphans orphans_;
  std::unique_ptr<RpcServer> rpc_;
  std::promise<agent::DownReply> cleaned_;
  std::shared_future<agent::DownReply> when_cleaned_{cleaned_.get_future().share()};
  std::chrono::steady_clock::time_point stop_requested_;
};

}  // namespace conode::job
