// SPDX-License-Identifier: Apache-2.0
// The network configuration from standard input. The schema is in README.md beside this file.
// Source: CNI specification 1.1, sections 1 and 3.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netplug/cni/request.h"
#include "netplug/link/address.h"

namespace conode::cni {

inline constexpr const char* kNewestVersion = "1.1.0";
// What VERSION answers; 0.x has another result format.
[[nodiscard]] const std::vector<std::string>& supported_versions();

// How containers are attached; README.md has a picture of each.
enum class Mode { routed, bridge };

// A port of the node that leads to one of the container. Source: CNI CONVENTIONS.md, capability
// `portMappings`.
struct PortMapping {
  std::string protocol = "tcp";  // or udp, sctp
  uint16_t host_port = 0;
  uint16_t container_port = 0;
  std::optional<Ipv4Address> host_address;  // absent: every address of the node
  auto operator<=>(const PortMapping&) const = default;
};

struct NetworkConfig {
  std::string cni_version = kNewestVersion;
  std::string name;
  Mode mode = Mode::routed;
  std::string bridge = "cnbr0";  // mode bridge: its name
  Ipv4Prefix range;              // addresses of this node's containers
  // Dual-stack: a container has the address of this range at the place it has in `range`.
  std::optional<Ipv6Prefix> range6;
  std::string data_dir = "/var/lib/cni/conode";
  int mtu = 0;                                // bytes; 0: the kernel's 1500
  Ipv4Address gateway;                        // by default 169.254.1.1, or the range's first one
  std::vector<PortMapping> ports;             // ADD, CHECK: without those whose host port is 0
  std::optional<Ipv4Address> node_address;    // source of what the node itself sends to containers
  nlohmann::json dns;                         // passed through; null where absent
  nlohmann::json prev_result;                 // null where absent
  std::vector<Attachment> valid_attachments;  // GC
  std::vector<std::string> unsupported;       // fields that ask for what we do not do: "key: value"
};

// Every bad value is named in one failure (code 7); what is no JSON is code 6, a version that we do
// not speak code 1. Unknown fields are ignored.
[[nodiscard]] CniResult<NetworkConfig> parse_config(std::string_view text, Command command);

// The cniVersion of whatever came in, for error and VERSION replies; the newest where unreadable.
[[nodiscard]] std::string version_of(std::string_view text);

}  // namespace conode::cni
