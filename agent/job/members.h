// SPDX-License-Identifier: Apache-2.0
// Rank 0's side of a job of several nodes: has their agents started, gives each what it needs as
// soon as that exists, knows who is ready, and says who is missing. On the loop's thread.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/bus/bus.h"
#include "agent/job/image_spread.h"
#include "agent/job/node_agent.h"
#include "agent/job/node_commands.h"
#include "agent/job/started_agents.h"
#include "agent/launch/launcher.h"
#include "agent/proto/agent.pb.h"

namespace conode::job {

class Members {
 public:
  struct Handlers {
    std::function<void()> changed;                // ready() may say something else
    std::function<void(const Error&)> missing;    // a node, and the policy is to fail
    std::function<void(uint32_t joined)> joined;  // how many nodes are there
    std::function<void()> carriers;               // one of them is reached in another way
  };

  // Starts the bus and the other agents, those in `home_cgroup` (a path; empty: ours): our own goes
  // with this node.
  [[nodiscard]] static Result<std::unique_ptr<Members>> start(
      boost::asio::io_context& loop, const AgentOptions& options, std::string state_dir,
      const std::string& home_cgroup, std::unique_ptr<launch::Launcher>, Handlers handlers);
  ~Members();

  [[nodiscard]] uint32_t size() const { return launcher_->size(); }
  // Rank 0's own carrier listens.
  void set_carrier(const std::string& endpoint);
  // Carriers of everyone known so far.
  [[nodiscard]] const std::map<uint32_t, std::string>& carriers() const { return carriers_; }
  // Certificates and kubeconfigs of all nodes are written.
  [[nodiscard]] Result<void> give_material();
  // The API server takes clients.
  void announce_api();
  void spread_image(const agent::SpreadImageRequest& request,
                    std::function<void(agent::SpreadImageReply)> done);

  // Nodes that the cluster is ready with: all, or those that came where the policy is to go on.
  [[nodiscard]] const std::set<uint32_t>& wanted() const { return wanted_; }
  [[nodiscard]] bool ready() const;
  [[nodiscard]] std::string waiting_for() const;
  void describe(agent::StatusReply& reply) const;

  // Ends all agents; `ended` gets what they have left, each line with its node.
  void end(std::function<void(std::vector<std::string> left)> ended);

 private:
  Members(boost::asio::io_context& loop, const AgentOptions& options, std::string state_dir,
          std::unique_ptr<launch::Launcher> launcher, Handlers handlers);
  [[nodiscard]] Result<void> start_bus();
  [[nodiscard]] Result<void> start_agents(const std::string& home_cgroup);
  void on_event(const bus::Event& event);
  void on_joined(const bus::Joined& joined);
  void on_message(const bus::Received& received);
  void lose(uint32_t rank);
  void on_agent_ended(uint32_t rank, const std::string& how);
  void on_lost(uint32_t rank, const std::string& reason);
  void on_patience_over();
  // `for_good`: it will not come any more, however long we wait.
  void lacks(uint32_t rank, const std::string& why, bool for_good = false);
  void welcome(uint32_t rank);
  [[nodiscard]] Result<void> write_host_file() const;
  void spread_images_of_start();
  void send(uint32_t rank, const bus::Message& message);
  [[nodiscard]] std::string name(uint32_t rank) const;
  [[nodiscard]] Result<bus::Message> material_of(uint32_t rank) const;

  boost::asio::io_context& loop_;
  const AgentOptions& options_;
  std::string state_dir_;
  std::unique_ptr<launch::Launcher> launcher_;
  Handlers handlers_;
  std::shared_ptr<bus::Context> context_;
  std::unique_ptr<bus::Bus> bus_;  // goes before its context
  std::optional<ImageSpread> images_;
  StartedAgents agents_;
  std::unique_ptr<NodeCommands> commands_;
  boost::asio::steady_timer patience_;
  std::set<uint32_t> wanted_;
  std::map<uint32_t, std::string> hosts_;     // of those that joined
  std::map<uint32_t, uint32_t> slots_;        // cores of their HPC parts
  std::map<uint32_t, std::string> carriers_;  // endpoints
  std::map<uint32_t, std::string> troubled_;
  bus::RankSet ready_;
  std::set<uint32_t> lost_;
  bool material_there_ = false;
  bool api_there_ = false;
  bool ending_ = false;
};

}  // namespace conode::job
