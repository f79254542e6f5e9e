// SPDX-License-Identifier: Apache-2.0
#include "netplug/vxlan/host_rules.h"

#include <fmt/format.h>

#include "netplug/link/nft.h"

namespace conode {
namespace {

// A table that is there, whatever was before, and then is not.
std::string removal_script(uint32_t vni) {
  return fmt::format("table ip {0} {{}}\ndelete table ip {0}\n", rules_table(vni));
}

// nft has no empty set literal.
std::string peers_set(const VxlanSettings& settings) {
  std::string elements;
  for (const auto& [rank, address] : settings.hosts)
    if (rank != settings.rank) elements += (elements.empty() ? "" : ", ") + address.text();
  return elements.empty() ? "" : fmt::format("elements = {{ {} }}", elements);
}

}  // namespace

std::string rules_table(uint32_t vni) { return fmt::format("conode_vxlan_{}", vni); }

std::string rules_script(const VxlanSettings& settings) {
  // @th,96,24: the VNI, after 8 bytes of UDP header and 4 of VXLAN's. Fragments, in which it may be
  // out of reach, are nobody's: the MTU inside leaves room for the headers. Guests behind this
  // host's address translation get a port of the range where they had one, so theirs do not leave.
  constexpr const char* kTable = R"(table ip {table} {{
  set peers {{
    type ipv4_addr
    {peers}
  }}
  chain ours {{
    ip daddr != {local} drop
    ip saddr != @peers drop
    udp sport != {first}-{last} drop
    notrack
  }}
  chain to_us {{
    ip frag-off & 0x3fff != 0 drop
    @th,96,24 {vni} goto ours
  }}
  chain arriving {{
    type filter hook prerouting priority raw; policy accept;
    udp dport {port} jump to_us
  }}
  chain passing {{
    type filter hook forward priority raw; policy accept;
    udp dport {port} @th,96,24 {vni} drop
  }}
  chain leaving {{
    type filter hook output priority raw; policy accept;
    udp dport {port} udp sport {first}-{last} ip saddr {local} ip daddr @peers notrack
  }}
}}
)";
  using fmt::arg;
  return removal_script(settings.vni) +
         fmt::format(kTable, arg("table", rules_table(settings.vni)),
                     arg("peers", peers_set(settings)), arg("port", settings.port),
                     arg("vni", settings.vni), arg("local", settings.local().text()),
                     arg("first", kFirstVxlanSource), arg("last", kLastVxlanSource));
}

Result<void> try_host_rules(const VxlanSettings& settings) {
  TRY_AS("try the rules of the job's VXLAN", run_nft({"-c", "-f", "-"}, rules_script(settings)));
  return {};
}

Result<void> add_host_rules(const VxlanSettings& settings) {
  TRY_AS("add the rules of the job's VXLAN", run_nft({"-f", "-"}, rules_script(settings)));
  return {};
}

Result<void> remove_host_rules(uint32_t vni) {
  const Result<std::string> done = run_nft({"-f", "-"}, removal_script(vni));
  // No rule was ever made without the program.
  if (done || done.error().is(std::errc::no_such_file_or_directory)) return {};
  return tl::make_unexpected(Error(done.error()).wrap("remove the rules of the job's VXLAN"));
}

}  // namespace conode
