// SPDX-License-Identifier: Apache-2.0
#include "agent/job/uplink.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "agent/base/log.h"
#include "agent/bus/keys.h"
#include "netplug/uplink/relay.h"

namespace conode::job {
namespace {

constexpr int kNodeLength = 32;
// Of endpoint().
constexpr const char* kNoRelay = "-";
constexpr const char* kWithVxlan = " vxlan";
constexpr const char* kFallback = " fallback";

std::vector<int> cpus_of(const cpu_set_t& mask) {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<size_t>(cpu), &mask)) cpus.push_back(cpu);
  return cpus;
}

// "192.0.2.7:40123"
std::string carrier_of(const std::string& endpoint) {
  return endpoint.substr(0, endpoint.find(' '));
}

std::string secret_of_carriers(const bus::Secret& secret) {
  const bus::Key key = secret.derive("conode carrier");
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

}  // namespace

int relay_queues(const AgentOptions& options) {
  constexpr int kMost = 4;
  if (options.uplink == UplinkChoice::vxlan || options.uplink == UplinkChoice::fallback) return 0;
  return std::clamp(CPU_COUNT(&options.k8s.mask), 1, kMost);
}

Uplink::Uplink(boost::asio::io_context& loop, const AgentOptions& options,
               std::function<void()> moved)
    : moved_(std::move(moved)),
      rank_(options.membership.rank),
      size_(options.membership.size),
      vxlan_end_(loop),
      endpoint_(kNoRelay) {}

Uplink::~Uplink() = default;

Result<std::unique_ptr<Uplink>> Uplink::start(boost::asio::io_context& loop,
                                              const AgentOptions& options,
                                              std::vector<UniqueFd> tun, pid_t sandbox,
                                              std::function<void()> moved) {
  std::unique_ptr<Uplink> uplink(new Uplink(loop, options, std::move(moved)));
  if (options.uplink == UplinkChoice::fallback) TRY(uplink->start_fallback(options, sandbox));
  if (!tun.empty()) TRY(uplink->start_relay(options, std::move(tun)));
  if (!options.vxlan_job.empty()) {
    Result<void> started = uplink->start_vxlan(options, sandbox);
    if (!started && options.uplink == UplinkChoice::vxlan)
      return tl::make_unexpected(std::move(started).error());
    if (!started) log::warning("{}; the relay has its traffic", started.error().message());
  }
  return uplink;
}

Result<void> Uplink::start_relay(const AgentOptions& options, std::vector<UniqueFd> tun) {
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
  relay_ = TRY(Relay::start(std::move(relay)));
  endpoint_ = fmt::format("{}:{}", own.address, relay_->port());
  kind_ = fmt::format("relay over {}{}", options.carrier_udp ? "UDP" : "TCP",
                      options.encrypt ? ", encrypted" : "");
  return {};
}

Result<void> Uplink::start_vxlan(const AgentOptions& options, pid_t sandbox) {
  vxlan_ = TRY(VxlanWays::start(options, sandbox));
  endpoint_ += kWithVxlan;
  watch_vxlan();
  return {};
}

Result<void> Uplink::start_fallback(const AgentOptions& options, pid_t sandbox) {
  vxlan_ = TRY(VxlanWays::start_fallback(options, sandbox));
  endpoint_ = fmt::format("{}:{}{}", options.inward->address, options.inward->host_port, kFallback);
  kind_ = fmt::format("fallback over {}, not authenticated", to_string(options.egress.kind));
  fallback_ = true;
  return {};
}

// The keeper was killed, or root has taken the VXLAN away. The others have to know: what they send
// there arrives nowhere.
void Uplink::watch_vxlan() {
  vxlan_end_.assign(::fcntl(vxlan_->end(), F_DUPFD_CLOEXEC, 0));
  vxlan_end_.async_wait(
      boost::asio::posix::stream_descriptor::wait_read,
      [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
        if (error || alive.expired()) return;
        log::warning("the job's VXLAN is gone from this host; {}",
                     relay_ ? "the relay has its traffic" : "nothing else leads to other nodes");
        vxlan_.reset();
        endpoint_.resize(endpoint_.size() - std::strlen(kWithVxlan));
        moved_();
      });
}

Result<void> Uplink::set_vxlan_peer(uint32_t rank, const std::string& endpoint) {
  if (!vxlan_) return {};
  if (fallback_) return vxlan_->add(rank, carrier_of(endpoint));
  return endpoint.ends_with(kWithVxlan) ? vxlan_->add(rank) : vxlan_->remove(rank);
}

Result<void> Uplink::set_peers(const std::map<uint32_t, std::string>& endpoints) {
  for (const auto& [rank, endpoint] : endpoints) {
    if (rank == rank_) continue;
    const Result<void> done = set_vxlan_peer(rank, endpoint);
    if (!done && !relay_) return done;
    if (!done) log::warning("{}; the relay has its traffic", done.error().message());
  }
  for (const auto& [rank, endpoint] : endpoints) {
    if (rank == rank_) continue;
    const std::string carrier = carrier_of(endpoint);
    if (relay_ && carrier != kNoRelay) TRY(relay_->set_peer({rank, carrier}));
  }
  return {};
}

std::string Uplink::describe_relay() const {
  const RelayStatus status = relay_->status();
  const auto connected = std::count_if(status.peers.begin(), status.peers.end(),
                                       [](const RelayPeerStatus& p) { return p.sessions > 0; });
  return fmt::format("{}, {} of {} nodes reached", kind_, connected, size_ - 1);
}

std::string Uplink::describe() const {
  if (fallback_ && vxlan_)
    return fmt::format("{}, to {} of {} nodes", kind_, vxlan_->nodes(), size_ - 1);
  if (!vxlan_) return relay_ ? describe_relay() : "none: the job's VXLAN is gone";
  std::string vxlan = fmt::format("vxlan to {} of {} nodes", vxlan_->nodes(), size_ - 1);
  if (!relay_ || vxlan_->nodes() + 1 == size_) return vxlan;
  return vxlan + "; " + describe_relay();
}

}  // namespace conode::job
