// SPDX-License-Identifier: Apache-2.0
// This node's way to the others, as the agent uses it: the relay, and to the nodes that have an end
// of the job's VXLAN, like this one, that; or only the fallback. On the loop's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/job/node_agent.h"
#include "agent/job/vxlan_ways.h"

namespace conode {
class Relay;
}

namespace conode::job {

// Queues of the relay's TUN device: a thread pair each; 0: no relay. One core cannot keep more than
// one busy.
[[nodiscard]] int relay_queues(const AgentOptions& options);

class Uplink {
 public:
  // `tun`: empty where there is to be no relay. `sandbox`: its pid. `moved`: endpoint() is another
  // one, which the other nodes have to be told.
  [[nodiscard]] static Result<std::unique_ptr<Uplink>> start(boost::asio::io_context& loop,
                                                             const AgentOptions& options,
                                                             std::vector<UniqueFd> tun,
                                                             pid_t sandbox,
                                                             std::function<void()> moved);
  ~Uplink();

  // Where the other nodes find it: "192.0.2.7:40123", then " vxlan" if it is up; "-" for no relay.
  // Of the fallback: "192.0.2.7:40123 fallback".
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  [[nodiscard]] Result<void> set_peers(const std::map<uint32_t, std::string>& endpoints);
  // "vxlan to 1 of 2 nodes; relay over TCP, 2 of 2 nodes reached"
  [[nodiscard]] std::string describe() const;

 private:
  Uplink(boost::asio::io_context& loop, const AgentOptions& options, std::function<void()> moved);
  [[nodiscard]] Result<void> start_relay(const AgentOptions& options, std::vector<UniqueFd> tun);
  [[nodiscard]] Result<void> start_vxlan(const AgentOptions& options, pid_t sandbox);
  [[nodiscard]] Result<void> start_fallback(const AgentOptions& options, pid_t sandbox);
  void watch_vxlan();
  [[nodiscard]] Result<void> set_vxlan_peer(uint32_t rank, const std::string& endpoint);
  [[nodiscard]] std::string describe_relay() const;

  std::function<void()> moved_;
  uint32_t rank_;
  uint32_t size_;
  std::unique_ptr<Relay> relay_;      // null: none
  std::unique_ptr<VxlanWays> vxlan_;  // null: none, or not any more
  boost::asio::posix::stream_descriptor vxlan_end_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  std::string endpoint_;
  std::string kind_;       // "relay over TCP"
  bool fallback_ = false;  // `vxlan_` is the sandbox's own
};

}  // namespace conode::job
