// SPDX-License-Identifier: Apache-2.0
// conode-hook vxlan up|down: one kernel VXLAN for each job.
#include <fmt/format.h>
#include <linux/capability.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "agent/base/file.h"
#include "batch_hooks/hook/verbs.h"
#include "netplug/vxlan/confine.h"
#include "netplug/vxlan/frame_rules.h"
#include "netplug/vxlan/host_rules.h"
#include "netplug/vxlan/job_vxlan.h"

namespace conode::hook {
namespace {

struct Arguments {
  std::string job;
  uid_t user = 0;
  uint32_t rank = 0;
  std::vector<std::string> peers;
  uint16_t port = kVxlanPort;
  std::optional<uint32_t> vni;
  VniRange range;
  std::optional<int> mtu;
  std::string nodes = VxlanSettings{}.nodes.text();
  std::string pods = VxlanSettings{}.pods.text();
  std::string directory = kHookDirectory;
  bool dry_run = false;
  bool foreground = false;
};

void say(const std::string& line) {
  (void)std::fprintf(stdout, "%s\n", line.c_str());
  (void)std::fflush(stdout);
}

Result<void> need_capabilities() {
  const uint64_t has = TRY(effective_capabilities());
  for (const int needed : {CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_CHROOT})
    if ((has >> static_cast<unsigned>(needed) & 1U) == 0)
      return code_failure(EPERM, "this takes root");
  return {};
}

// The rules believe a packet for the port that it is sent from.
Result<void> check_privileged_ports() {
  constexpr const char* kPath = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
  const std::optional<std::string> text = TRY(read_file_if_exists(kPath));
  if (!text || std::stoi(*text) > kLastVxlanSource) return {};
  return failure(fmt::format("users of this host may send from ports from {} on, so what they send "
                             "is not told from the job's",
                             std::stoi(*text)),
                 fmt::format("sysctl -w net.ipv4.ip_unprivileged_port_start={}, on all hosts",
                             kLastVxlanSource + 1));
}

Result<VxlanSettings> settings_from(const Arguments& given) {
  VxlanSettings s{.job = given.job, .user = given.user, .port = given.port, .rank = given.rank};
  for (const std::string& text : given.peers) {
    const auto [rank, address] = TRY_AS("--peer", parse_vxlan_host(text));
    if (const auto [known, fresh] = s.hosts.emplace(rank, address); !fresh)
      return failure(fmt::format("--peer {}: rank {} is {}", text, rank, known->second.text()));
  }
  if (!s.hosts.contains(s.rank))
    return failure(
        fmt::format("--rank {}: no --peer {}=ADDRESS says where that is", s.rank, s.rank));
  s.nodes = TRY_AS("--nodes", Ipv4Prefix::parse(given.nodes));
  s.pods = TRY_AS("--pods", Ipv4Prefix::parse(given.pods));
  s.vni = given.vni.value_or(vni_of_job(s.job, given.range));
  const int most = TRY(vxlan_mtu(s.local()));
  s.mtu = given.mtu.value_or(most);
  if (s.mtu > most)
    return failure(fmt::format("--mtu {}: the fabric carries {} inside", s.mtu, most));
  TRY(check(s));
  return s;
}

Result<void> up(const Arguments& given) {
  if (given.range.first == 0 || given.range.last < given.range.first)
    return failure("--vni-range: the first is at least 1, the last not below it");
  const VxlanSettings settings = TRY_AS("vxlan up", settings_from(given));
  if (given.dry_run) {
    say(to_text(settings) + "rules:\n" + rules_script(settings) +
        frame_rules_script(settings, "user"));
    return {};
  }
  TRY_AS("vxlan up", need_capabilities());
  TRY_AS("vxlan up", check_privileged_ports());
  const auto announce = [&] {
    say(fmt::format("job {}: VXLAN {} at {}:{}, {} peers, MTU {}", settings.job, settings.vni,
                    settings.local().text(), settings.port, settings.hosts.size() - 1,
                    settings.mtu));
  };
  const std::string what = fmt::format("vxlan up for job '{}'", settings.job);
  if (given.foreground) {
    TRY_AS(what, keep_vxlan_here(given.directory, settings, announce));
    return {};
  }
  TRY_AS(what, make_vxlan(given.directory, settings));
  announce();
  return {};
}

Result<void> down(const Arguments& given) {
  if (!is_job_id(given.job)) return failure("vxlan down: that is no job id");
  if (given.dry_run) {
    say(fmt::format("remove {}/{}", given.directory, given.job));
    return {};
  }
  TRY_AS("vxlan down", need_capabilities());
  const VxlanOutcome outcome = TRY_AS(fmt::format("vxlan down for job '{}'", given.job),
                                      remove_vxlan(given.directory, given.job));
  say(fmt::format("job {}: {}", given.job,
                  outcome == VxlanOutcome::removed ? "VXLAN removed" : "there is no VXLAN"));
  return {};
}

void add_common(CLI::App& app, Arguments& given) {
  app.add_option("--job", given.job, "the batch system's id of the job")->required();
  app.add_option("--run-dir", given.directory, "where hooks keep what belongs to jobs")
      ->capture_default_str();
  app.add_flag("--dry-run", given.dry_run, "say what would be done");
}

}  // namespace

void add_vxlan(CLI::App& app, Run& run) {
  const auto given = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("vxlan", "a kernel VXLAN for the job's pods");
  verb->require_subcommand(1);
  CLI::App* make = verb->add_subcommand("up", "make it; nothing to do where it is");
  add_common(*make, *given);
  make->add_option("--uid", given->user, "of the job's user, who gets one end")->required();
  make->add_option("--rank", given->rank, "of this host in the job, from 0")->required();
  make->add_option("--peer", given->peers,
                   "a host of the job and its IPv4 address on the fabric; all hosts, also this one")
      ->type_name("RANK=ADDRESS")
      ->delimiter(',')
      ->required();
  make->add_option("--port", given->port, "UDP port, the same on all hosts")->capture_default_str();
  make->add_option("--vni", given->vni, "the VXLAN's number, the same on all hosts of the job");
  make->add_option(
          "--vni-range",
          [given](const CLI::results_t& text) {
            return CLI::detail::lexical_cast(text.at(0), given->range.first) &&
                   CLI::detail::lexical_cast(text.at(1), given->range.last);
          },
          "where the number is taken from without --vni")
      ->expected(2)
      ->type_name("FIRST LAST");
  make->add_option("--mtu", given->mtu, "bytes inside; by default what the fabric carries");
  make->add_option("--nodes", given->nodes, "addresses inside: the nodes'")->capture_default_str();
  make->add_option("--pods", given->pods, "addresses inside: the pods'")->capture_default_str();
  make->add_flag("--foreground", given->foreground, "be the job's keeper instead of starting it");
  make->callback([given, &run] { run = [given] { return up(*given); }; });
  CLI::App* remove = verb->add_subcommand("down", "undo it; nothing to do where there is none");
  add_common(*remove, *given);
  remove->callback([given, &run] { run = [given] { return down(*given); }; });
}

}  // namespace conode::hook
