// SPDX-License-Identifier: Apache-2.0
// This node's way to the others: the relay, as the agent uses it. On the loop's thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/job/node_agent.h"

namespace conode {
class Relay;
}

namespace conode::job {

// Queues of the relay's TUN device: a thread pair each. One core cannot keep more than one busy.
[[nodiscard]] int relay_queues(const AgentOptions& options);

class Uplink {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Uplink>> start(const AgentOptions& options,
                                                             std::vector<UniqueFd> tun);
  ~Uplink();

  // Where the other nodes find it: "192.0.2.7:40123".
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  [[nodiscard]] Result<void> set_peers(const std::map<uint32_t, std::string>& endpoints);
  // "relay over TCP, 2 of 2 nodes reached"
  [[nodiscard]] std::string describe() const;

 private:
  Uplink(const Membership& own, std::unique_ptr<Relay> relay);

  uint32_t rank_;
  uint32_t size_;
  std::unique_ptr<Relay> relay_;
  std::string endpoint_;
  std::string kind_;  // "relay over TCP"
};

}  // namespace conode::job
