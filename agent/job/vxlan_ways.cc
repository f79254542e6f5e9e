// SPDX-License-Identifier: Apache-2.0
#include "agent/job/vxlan_ways.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "agent/base/file.h"
#include "agent/base/pipe.h"
#include "agent/sandbox/vxlan_attendant.h"

namespace conode::job {
namespace {

std::string socket_of(const std::string& job) {
  return fmt::format("{}/{}/{}", kHookDirectory, job, kVxlanSocket);
}

Result<void> await_up(int report) {
  constexpr int kPatience = 5000;  // ms
  pollfd readable{.fd = report, .events = POLLIN};
  int ready = 0;
  do ready = ::poll(&readable, 1, kPatience);
  while (ready < 0 && errno == EINTR);
  if (ready != 1) return code_failure(ETIMEDOUT, "wait for the link");
  std::array<char, 1024> said{};
  const ssize_t n = ::read(report, said.data(), said.size());
  const std::string text(said.data(), static_cast<size_t>(std::max<ssize_t>(n, 0)));
  if (text == sandbox::kVxlanUp) return {};
  return failure(text.empty() ? "conode-init vxlan ended without a word"
                              : text.substr(0, text.find('\n')));
}

}  // namespace

Result<VxlanEnd> find_vxlan(const std::string& job, const Membership& own,
                            const kubernetes::ClusterLayout& layout) {
  VxlanEnd end = TRY(ask_about_vxlan(socket_of(job)));
  const std::string what = fmt::format("use the VXLAN of job '{}'", job);
  if (end.rank != own.rank)
    return failure(fmt::format("{}: it is for rank {}, this is {}", what, end.rank, own.rank));
  for (uint32_t rank = 0; rank < own.size; ++rank)
    if (!end.ranks.contains(rank))
      return failure(fmt::format("{}: it does not lead to rank {}", what, rank));
  if (end.nodes != TRY(Ipv4Prefix::parse(layout.node_prefix)) ||
      end.pods != TRY(Ipv4Prefix::parse(layout.pod_prefix)))
    return failure(
        fmt::format("{}: it carries nodes {} and pods {}", what, end.nodes.text(), end.pods.text()),
        "set network.node_prefix and network.pod_prefix to these");
  return end;
}

Result<std::unique_ptr<VxlanWays>> VxlanWays::start(const AgentOptions& options, pid_t sandbox) {
  const UniqueFd netns = TRY(open_at(AT_FDCWD, fmt::format("/proc/{}/ns/net", sandbox), O_RDONLY));
  const VxlanEnd end = TRY(request_vxlan_end(socket_of(options.vxlan_job), netns.get()));
  return TRY_AS("set up the job's VXLAN",
                attend({options.libexec_dir + "/conode-init", "vxlan", std::to_string(sandbox),
                        std::to_string(end.rank), end.nodes.text(), end.pods.text()}));
}

Result<std::unique_ptr<VxlanWays>> VxlanWays::start_fallback(const AgentOptions& options,
                                                             pid_t sandbox) {
  return TRY_AS(
      "set up the uplink 'fallback'",
      attend({options.libexec_dir + "/conode-init", "vxlan", std::to_string(sandbox),
              std::to_string(options.membership.rank), options.layout.node_prefix,
              options.layout.pod_prefix, std::to_string(options.inward->mtu - kVxlanOverhead)}));
}

Result<std::unique_ptr<VxlanWays>> VxlanWays::attend(const std::vector<std::string>& argv) {
  Pipe orders = TRY(make_pipe());
  Pipe report = TRY(make_pipe());
  Process attendant = TRY(Process::spawn(
      {.argv = argv, .fds = {{0, orders.out.get()}, {1, report.in.get()}}, .new_session = true}));
  report.in.reset();
  TRY(await_up(report.out.get()));
  if (::fcntl(orders.in.get(), F_SETFL, O_NONBLOCK) != 0) return errno_failure("fcntl");
  return std::unique_ptr<VxlanWays>(new VxlanWays(std::move(attendant), std::move(orders.in)));
}

Result<void> VxlanWays::add(uint32_t rank, const std::string& endpoint) {
  if (ranks_.contains(rank)) return {};
  std::string order = fmt::format("{} {}\n", rank, endpoint);
  std::replace(order.begin(), order.end(), ':', ' ');
  TRY(write_all(orders_.get(), order, "orders of conode-init vxlan"));
  ranks_.insert(rank);
  return {};
}

Result<void> VxlanWays::remove(uint32_t rank) {
  if (ranks_.erase(rank) == 0) return {};
  return write_all(orders_.get(), fmt::format("-{}\n", rank), "orders of conode-init vxlan");
}

}  // namespace conode::job
