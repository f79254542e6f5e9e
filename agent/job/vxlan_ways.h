// SPDX-License-Identifier: Apache-2.0
// The ways to the other nodes over the job's kernel VXLAN, where root has made one on this host
// (conode-hook, netplug/vxlan): has the sandbox handed its end, and sends the nodes' traffic there.
// Or over a VXLAN of the sandbox's own (the uplink `fallback`, netplug/uplink/fallback_link.h).
// What belongs to a node that is not reached that way stays the relay's. On the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "agent/base/process.h"
#include "agent/base/result.h"
#include "agent/job/node_agent.h"
#include "netplug/vxlan/handover.h"

namespace conode::job {

// The VXLAN of the job on this host. Fails, saying why, where there is none, or one for other nodes
// or addresses than the job's. Blocks for milliseconds.
[[nodiscard]] Result<VxlanEnd> find_vxlan(const std::string& job, const Membership& own,
                                          const kubernetes::ClusterLayout& layout);

class VxlanWays {
 public:
  // `sandbox`: its pid. Blocks for milliseconds, 15 s where the keeper hangs. The link is up when
  // it returns.
  [[nodiscard]] static Result<std::unique_ptr<VxlanWays>> start(const AgentOptions& options,
                                                                pid_t sandbox);
  // Needs options.inward.
  [[nodiscard]] static Result<std::unique_ptr<VxlanWays>> start_fallback(
      const AgentOptions& options, pid_t sandbox);
  // That node's end is up, too; of the fallback at `endpoint`, "192.0.2.7:40123".
  [[nodiscard]] Result<void> add(uint32_t rank, const std::string& endpoint = {});
  // It is not any more.
  [[nodiscard]] Result<void> remove(uint32_t rank);
  // Readable when the link has gone: with it, all ways.
  [[nodiscard]] int end() const { return attendant_.pidfd(); }
  [[nodiscard]] size_t nodes() const { return ranks_.size(); }

 private:
  [[nodiscard]] static Result<std::unique_ptr<VxlanWays>> attend(
      const std::vector<std::string>& argv);
  VxlanWays(Process attendant, UniqueFd orders)
      : attendant_(std::move(attendant)), orders_(std::move(orders)) {}

  Process attendant_;
  UniqueFd orders_;
  std::set<uint32_t> ranks_;
};

}  // namespace conode::job
