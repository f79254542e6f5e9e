// SPDX-License-Identifier: Apache-2.0
#include "agent/job/uplink.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/bus/keys.h"
#include "netplug/uplink/relay.h"

namespace conode::job {
namespace {

constexpr int kNodeLength = 32;
constexpr int kPodsLength = 24;  // kubernetes::node_pod_prefix()

std::vector<int> cpus_of(const cpu_set_t& mask) {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<size_t>(cpu), &mask)) cpus.push_back(cpu);
  return cpus;
}

std::string secret_of_carriers(const bus::Secret& secret) {
  const bus::Key key = secret.derive("conode carrier");
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

}  // namespace

int relay_queues(const AgentOptions& options) {
  constexpr int kMost = 4;
  return std::clamp(CPU_COUNT(&options.k8s.mask), 1, kMost);
}

Result<std::unique_ptr<Uplink>> Uplink::start(const AgentOptions& options,
                                              std::vector<UniqueFd> tun) {
  const Membership& own = options.membership;
  RelayOptions relay;
  relay.tun = std::move(tun);
  relay.rank = own.rank;
  relay.plan = TRY(AddressPlan::create(
      {{options.layout.node_prefix, kNodeLength, 1}, {options.layout.pod_prefix, kPodsLength, 0}},
      own.size));
  relay.secret = secret_of_carriers(*own.secret);
  relay.listen = own.address + ":0";
  relay.carrier = options.carrier_udp ? CarrierKind::udp : CarrierKind::tcp;
  relay.encryption = options.encrypt ? RelayEncryption::aes_gcm : RelayEncryption::none;
  relay.cpus = cpus_of(options.k8s.mask);
  auto started = TRY(Relay::start(std::move(relay)));
  std::unique_ptr<Uplink> uplink(new Uplink(own, std::move(started)));
  uplink->kind_ = fmt::format("relay over {}{}", options.carrier_udp ? "UDP" : "TCP",
                              options.encrypt ? ", encrypted" : "");
  return uplink;
}

Uplink::Uplink(const Membership& own, std::unique_ptr<Relay> relay)
    : rank_(own.rank),
      size_(own.size),
      relay_(std::move(relay)),
      endpoint_(fmt::format("{}:{}", own.address, relay_->port())) {}

Uplink::~Uplink() = default;

Result<void> Uplink::set_peers(const std::map<uint32_t, std::string>& endpoints) {
  for (const auto& [rank, endpoint] : endpoints)
    if (rank != rank_) TRY(relay_->set_peer({rank, endpoint}));
  return {};
}

std::string Uplink::describe() const {
  const RelayStatus status = relay_->status();
  const auto connected = std::count_if(status.peers.begin(), status.peers.end(),
                                       [](const RelayPeerStatus& p) { return p.sessions > 0; });
  return fmt::format("{}, {} of {} nodes reached", kind_, connected, size_ - 1);
}

}  // namespace conode::job
