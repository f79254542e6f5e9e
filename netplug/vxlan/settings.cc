// SPDX-License-Identifier: Apache-2.0
#include "netplug/vxlan/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <sstream>

namespace conode {
namespace {

constexpr uint32_t kLargestVni = (1U << 24U) - 1;
constexpr int kSmallestMtu = 576;
constexpr int kLargestMtu = 65535;

// ASCII only, whatever the locale.
bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

template <typename T>
std::optional<T> number(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// FNV-1a, 64 bits.
uint64_t hash(std::string_view text) {
  uint64_t value = 0xcbf29ce484222325U;
  for (const char c : text) {
    value ^= static_cast<unsigned char>(c);
    value *= 0x100000001b3U;
  }
  return value;
}

bool is_unicast(Ipv4Address address) {
  const uint32_t first = address.value >> 24U;
  return first != 0 && first != 127 && first < 224;
}

}  // namespace

bool is_job_id(std::string_view text) {
  constexpr size_t kLongest = 48;
  return !text.empty() && text.size() <= kLongest && is_letter_or_digit(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
         });
}

uint32_t vni_of_job(std::string_view job, VniRange range) {
  const uint64_t width = uint64_t{range.last} - range.first + 1;
  const uint64_t place = number<uint64_t>(job).value_or(hash(job));
  return range.first + static_cast<uint32_t>(place % width);
}

MacAddress vxlan_mac(uint32_t rank) {
  constexpr uint64_t kOurs = 0x634eU;  // "cN"
  return MacAddress::from_seed((kOurs << 32U) | rank);
}

Ipv4Address node_address(const Ipv4Prefix& nodes, uint32_t rank) {
  return {nodes.network().value + rank + 1};
}

Ipv4Prefix pods_of_node(const Ipv4Prefix& pods, uint32_t rank) {
  constexpr unsigned kHostBits = 32U - kPodsLength;
  return {{pods.network().value + (rank << kHostBits)}, kPodsLength};
}

namespace {

Result<void> check_hosts(const VxlanSettings& s) {
  if (!s.hosts.contains(s.rank))
    return failure(fmt::format("no host has rank {}, this host's", s.rank));
  if (s.hosts.size() > kMostVxlanHosts)
    return failure(fmt::format("{} hosts: at most {}", s.hosts.size(), kMostVxlanHosts));
  std::set<Ipv4Address> seen;
  for (const auto& [rank, address] : s.hosts) {
    if (!is_unicast(address))
      return failure(fmt::format("address {} of rank {} is no host's", address.text(), rank));
    if (!seen.insert(address).second)
      return failure(fmt::format("address {} belongs to two ranks", address.text()));
    if (rank >= kMostVxlanHosts || !s.nodes.contains(node_address(s.nodes, rank)) ||
        !s.pods.contains(pods_of_node(s.pods, rank).address))
      return failure(fmt::format("rank {}: there is no room for it inside", rank));
  }
  return {};
}

}  // namespace

Result<void> check(const VxlanSettings& s) {
  if (!is_job_id(s.job))
    return failure(
        "the job id is not 1 to 48 letters, digits, '.', '_', '-', the first a letter "
        "or digit");
  if (s.user == 0) return failure("user 0 is root, who needs no help");
  if (s.vni == 0 || s.vni > kLargestVni)
    return failure(fmt::format("VNI {}: it may be 1 to {}", s.vni, kLargestVni));
  if (s.port == 0) return failure("port 0: it may be 1 to 65535");
  if (s.pods.length > kPodsLength) return failure("the pods' prefix is longer than one node's");
  TRY(check_hosts(s));
  if (s.mtu < kSmallestMtu || s.mtu > kLargestMtu)
    return failure(fmt::format("MTU {}: it may be {} to {}", s.mtu, kSmallestMtu, kLargestMtu));
  return {};
}

std::string to_text(const VxlanSettings& s) {
  std::string text =
      fmt::format("job {}\nuser {}\nvni {}\nport {}\nrank {}\nmtu {}\nnodes {}\npods {}\n", s.job,
                  s.user, s.vni, s.port, s.rank, s.mtu, s.nodes.text(), s.pods.text());
  for (const auto& [rank, address] : s.hosts)
    text += fmt::format("host {}={}\n", rank, address.text());
  return text;
}

Result<std::pair<uint32_t, Ipv4Address>> parse_vxlan_host(const std::string& text) {
  const size_t sign = std::min(text.find('='), text.size());
  const auto rank = number<uint32_t>(std::string_view(text).substr(0, sign));
  if (!rank || sign == text.size()) return failure(fmt::format("'{}' is not RANK=ADDRESS", text));
  return std::pair{*rank, TRY(Ipv4Address::parse(text.substr(sign + 1)))};
}

Result<VxlanSettings> parse_vxlan_settings(const std::string& text) {
  VxlanSettings s;
  std::map<std::string, std::string> values;
  std::istringstream lines(text);
  for (std::string key, value; lines >> key >> value;) {
    if (key == "host") {
      s.hosts.insert(TRY(parse_vxlan_host(value)));
    } else {
      values[key] = value;
    }
  }
  s.job = values["job"];
  s.user = number<uid_t>(values["user"]).value_or(0);
  s.vni = number<uint32_t>(values["vni"]).value_or(0);
  s.port = number<uint16_t>(values["port"]).value_or(0);
  s.rank = number<uint32_t>(values["rank"]).value_or(kMostVxlanHosts);
  s.mtu = number<int>(values["mtu"]).value_or(0);
  s.nodes = TRY(Ipv4Prefix::parse(values["nodes"]));
  s.pods = TRY(Ipv4Prefix::parse(values["pods"]));
  TRY(check(s));
  return s;
}

uint32_t vni_in(const std::string& text) {
  std::istringstream lines(text);
  for (std::string key, value; lines >> key >> value;)
    if (key == "vni") return number<uint32_t>(value).value_or(0);
  return 0;
}

}  // namespace conode
