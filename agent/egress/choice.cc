// SPDX-License-Identifier: Apache-2.0
#include "agent/egress/choice.h"

#include <fmt/format.h>

#include "netplug/link/egress_link.h"

namespace conode::egress {
namespace {

using Words = std::vector<std::string>;

// IPv4 only, as the cluster is.
Words pasta(const std::string& program, const std::string& target,
            const std::optional<Inward>& inward) {
  const std::string ports =
      inward ? fmt::format("{}/{}:{}", inward->address, inward->host_port, inward->port) : "none";
  Words words{program,
              "--foreground",
              "--quiet",
              "--ipv4-only",
              "--no-map-gw",
              "--tcp-ports=none",
              "--udp-ports=" + ports,
              "--tcp-ns=none",
              "--udp-ns=none",
              "--no-dhcp",
              std::string("--address=") + kEgressAddress,
              "--netmask=24",
              std::string("--gateway=") + kEgressGateway,
              std::string("--dns-forward=") + kEgressResolver,
              "--mtu=" + std::to_string(kEgressMtu),
              std::string("--ns-ifname=") + kEgressDevice};
  // It leads to where a default route does, and gives up where there is none.
  if (inward) words.push_back("--interface=" + inward->interface);
  words.push_back(target);
  return words;
}

// Its own addresses are .2 and .3 of the range.
Words slirp4netns(const std::string& program, const std::string& target,
                  const std::optional<Inward>& inward) {
  Words words{program, "--disable-host-loopback", "--mtu=" + std::to_string(kEgressMtu),
              std::string("--cidr=") + kEgressPrefix};
  if (inward) words.push_back("--api-socket=" + inward->api_socket);
  words.insert(words.end(), {target, kEgressDevice});
  return words;
}

}  // namespace

const char* to_string(Kind kind) {
  return kind == Kind::pasta ? "pasta" : kind == Kind::slirp4netns ? "slirp4netns" : "none";
}

Choice choose(Wanted wanted, const std::function<std::string(const std::string&)>& find) {
  if (wanted == Wanted::none) return {Kind::none, {}, "as configured"};
  if (wanted != Wanted::slirp4netns)
    if (std::string path = find("pasta"); !path.empty()) return {Kind::pasta, path, {}};
  if (wanted == Wanted::pasta) return {Kind::none, {}, "pasta is not installed (package passt)"};
  if (std::string path = find("slirp4netns"); !path.empty()) return {Kind::slirp4netns, path, {}};
  if (wanted == Wanted::slirp4netns) return {Kind::none, {}, "slirp4netns is not installed"};
  return {Kind::none, {}, "neither pasta (package passt) nor slirp4netns is installed"};
}

std::vector<std::string> command_line(const Choice& choice, pid_t sandbox,
                                      const std::optional<Inward>& inward) {
  const std::string target = std::to_string(sandbox);
  if (choice.kind == Kind::pasta) return pasta(choice.program, target, inward);
  if (choice.kind == Kind::slirp4netns) return slirp4netns(choice.program, target, inward);
  return {};
}

}  // namespace conode::egress
