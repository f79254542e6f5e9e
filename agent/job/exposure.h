// SPDX-License-Identifier: Apache-2.0
// Services at ports of the host, as the command line asks for them and as status tells of them. On
// the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "agent/expose/exposer.h"
#include "agent/job/role.h"
#include "agent/kubernetes/api_client.h"
#include "agent/proto/agent.pb.h"

namespace conode::job {

class Exposure {
 public:
  // Follows the Services from here on. `context` and `api` outlive the object.
  Exposure(AgentContext& context, kubernetes::ApiClient& api, expose::HostSockets sockets);

  using Done = std::function<void(agent::ExposeReply)>;

  // Calls `done` once.
  void handle(const agent::ExposeRequest& request, Done done);
  void describe(agent::StatusReply& reply) const;
  // The job ends: so does every request that still waits for the API server.
  void stop();

 private:
  boost::asio::awaitable<void> follow();
  boost::asio::awaitable<void> open(expose::Request request, uint64_t id);
  void answer(uint64_t id, agent::ExposeReply reply);

  AgentContext& context_;
  expose::Exposer exposer_;
  std::map<uint64_t, Done> waiting_;
  uint64_t next_id_ = 0;
  bool stopped_ = false;
};

}  // namespace conode::job
