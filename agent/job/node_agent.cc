// SPDX-License-Identifier: Apache-2.0
// What has to happen before the agent has threads.
#include "agent/job/node_agent.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <csignal>
#include <tuple>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/job/agent_impl.h"
#include "agent/job/cleanup.h"
#include "agent/services/forwarder.h"
#include "netplug/uplink/fallback_link.h"
#include "netplug/vxlan/settings.h"

namespace conode::job {

namespace {

// What must be there before the process moves into namespaces of its own and has threads.
struct Prepared {
  HostSide host;
  std::unique_ptr<launch::Launcher> launcher;
};

Result<void> bind_to(const EnforcedPart& part) {
  if (::sched_setaffinity(0, sizeof(cpu_set_t), &part.mask) != 0)
    return errno_failure(fmt::format("bind the agent to CPUs {}", part.cpus));
  return {};
}

Result<Prepared> prepare_root(AgentOptions& options) {
  Prepared made;
  std::vector<UniqueFd>& api = made.host.api_listeners;
  api.push_back(TRY(services::listen_on_loopback(options.api_port)));
  options.api_port = TRY(services::port_of(api.front()));
  if (options.launch.kind == launch::Kind::local)
    made.host.sockets = TRY(expose::HostSockets::keep(options.k8s.mask));
  made.launcher = TRY(launch::make_launcher(options.launch));
  if (!made.launcher) return made;
  if (options.launch.kind == launch::Kind::local)
    api.push_back(TRY(services::listen_on_loopback(options.api_port)));
  options.membership = {.rank = 0,
                        .size = made.launcher->size(),
                        .address = made.launcher->address(),
                        .root_endpoint = {},
                        .secret = bus::Secret::random()};
  return made;
}

// The port that the other nodes send to, and how much fits into a packet on the way there.
Result<void> prepare_fallback(AgentOptions& options, const std::string& dir) {
  if (options.uplink != UplinkChoice::fallback) return {};
  options.inward = TRY_AS("prepare the uplink 'fallback'",
                          egress::choose_inward(options.membership.address, kFallbackPort));
  options.inward->api_socket = dir + "/run/slirp4netns.sock";
  options.layout.pod_mtu = std::min(options.layout.pod_mtu, options.inward->mtu - kVxlanOverhead);
  return {};
}

// All of the agent's threads, which are to be made, belong to the Kubernetes part.
Result<Prepared> prepare(AgentOptions& options, const std::string& dir) {
  Prepared made;
  if (options.membership.rank == 0) made = TRY(prepare_root(options));
  TRY(prepare_fallback(options, dir));
  TRY(bind_to(options.k8s));
  return made;
}

}  // namespace

Result<Outcome> run_agent(AgentOptions options) {
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(bugprone-unused-return-value)
  TRY(raise_open_file_limit());
  JobDir dir = TRY(JobDir::create(options.state_base, options.job));
  Result<Prepared> prepared = prepare(options, dir.path());
  if (!prepared) {
    if (const Result<void> removed = remove_tree(dir.path()); !removed)
      log::error("{}", removed.error().message());
    return tl::make_unexpected(std::move(prepared).error());
  }
  const auto [kind, base, job, libexec] =
      std::tuple(options.launch.kind, options.state_base, options.job, options.libexec_dir);
  Outcome outcome;
  {
    NodeAgent node(std::move(options), std::move(dir), std::move(prepared->host),
                   std::move(prepared->launcher));
    Result<void> begun = node.begin();
    outcome = begun ? node.run() : node.abandon(std::move(begun).error());
  }
  if (kind == launch::Kind::local)
    for (std::string& line : end_nodes_of(base, job, libexec))
      outcome.left.push_back(std::move(line));
  return outcome;
}

}  // namespace conode::job
