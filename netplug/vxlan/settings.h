// SPDX-License-Identifier: Apache-2.0
// What one job's VXLAN on one host is. All that a hook is told by its caller, checked; and what
// follows from that by a rule, so that nodes need not tell each other. Values; any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/result.h"
#include "netplug/link/address.h"

namespace conode {

// Where hooks keep what belongs to a job: kHookDirectory/JOB/.
inline constexpr const char* kHookDirectory = "/run/conode";
inline constexpr const char* kVxlanSocket = "vxlan.sock";  // there
// The user's end, in his network namespace.
inline constexpr const char* kVxlanLink = "cnv0";
// Unassigned, and below 1024: no user can take it first.
inline constexpr uint16_t kVxlanPort = 947;
// No user can send from these, so packets from any other are forged.
inline constexpr uint16_t kFirstVxlanSource = 512;
inline constexpr uint16_t kLastVxlanSource = 1023;
// Ethernet, VXLAN, UDP and IPv4 headers around a packet, in bytes.
inline constexpr int kVxlanOverhead = 50;
inline constexpr size_t kMostVxlanHosts = 4096;
inline constexpr int kPodsLength = 24;  // of a node's share of the pods' prefix

struct VniRange {
  uint32_t first = 4096;  // below are those that people choose by hand
  uint32_t last = 16777215;
};

struct VxlanSettings {
  std::string job;
  uid_t user = 0;
  uint32_t vni = 0;  // 1 to 2^24 - 1
  uint16_t port = kVxlanPort;
  uint32_t rank = 0;  // of this host
  // Addresses on the fabric of the job's hosts, this one's included, by rank.
  std::map<uint32_t, Ipv4Address> hosts;
  int mtu = 0;  // bytes of an IP packet inside
  // Inside: of these rank r has the address r + 1 and the r-th /24.
  Ipv4Prefix nodes{{0x0a580000}, 16};  // 10.88.0.0/16
  Ipv4Prefix pods{{0x0af40000}, 16};   // 10.244.0.0/16

  [[nodiscard]] Ipv4Address local() const { return hosts.at(rank); }
  bool operator==(const VxlanSettings&) const = default;
};

// What a node of that rank sends from. The rank has to fit.
[[nodiscard]] Ipv4Address node_address(const Ipv4Prefix& nodes, uint32_t rank);
[[nodiscard]] Ipv4Prefix pods_of_node(const Ipv4Prefix& pods, uint32_t rank);

// As the configuration's key `job`: 1 to 48 of letters, digits, '.', '_', '-'; the first is a
// letter or a digit. So it is a file's name, and nothing else.
[[nodiscard]] bool is_job_id(std::string_view text);

// The same on every node: a number counts up through the range, other names are hashed into it.
[[nodiscard]] uint32_t vni_of_job(std::string_view job, VniRange range = {});

// Of the user's end on the host of that rank: nobody has to be asked for it.
[[nodiscard]] MacAddress vxlan_mac(uint32_t rank);

// The first thing that is wrong, if anything.
[[nodiscard]] Result<void> check(const VxlanSettings& settings);

// "3=192.0.2.7"
[[nodiscard]] Result<std::pair<uint32_t, Ipv4Address>> parse_vxlan_host(const std::string& text);

// Lines "key value", and back. `parse` checks as well.
[[nodiscard]] std::string to_text(const VxlanSettings& settings);
[[nodiscard]] Result<VxlanSettings> parse_vxlan_settings(const std::string& text);
// The number alone, whatever else is wrong with the text; 0: none.
[[nodiscard]] uint32_t vni_in(const std::string& text);

}  // namespace conode
