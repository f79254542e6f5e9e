// SPDX-License-Identifier: Apache-2.0
// Theory of operation: level-triggered. Whatever happens to a Service, apply() computes what it is
// to have, the table opens and closes, and report() compares the result with what the API server
// says: a status that differs is written, a new refusal becomes an Event. What is written comes
// back as a change, and then nothing differs any more.
#include "agent/expose/exposer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>

#include "agent/base/log.h"
#include "agent/expose/datagram_forwarder.h"
#include "agent/expose/load_balancer.h"
#include "agent/services/forwarder.h"
#include "agent/services/service.h"

namespace conode::expose {

namespace asio = boost::asio;
using nlohmann::json;
using services::HttpResponse;

namespace {

class TcpPort final : public OpenPort {
 public:
  explicit TcpPort(std::unique_ptr<services::Forwarder> forwarder)
      : forwarder_(std::move(forwarder)) {}
  [[nodiscard]] uint16_t port() const override { return forwarder_->port(); }

 private:
  std::unique_ptr<services::Forwarder> forwarder_;
};

class UdpPort final : public OpenPort {
 public:
  explicit UdpPort(std::unique_ptr<DatagramForwarder> forwarder)
      : forwarder_(std::move(forwarder)) {}
  [[nodiscard]] uint16_t port() const override { return forwarder_->port(); }

 private:
  std::unique_ptr<DatagramForwarder> forwarder_;
};

services::Admission admission(const std::vector<Ipv4Prefix>& sources) {
  if (sources.empty()) return {};
  return [sources](const asio::ip::address& peer) {
    return peer.is_v4() && std::any_of(sources.begin(), sources.end(), [&](const Ipv4Prefix& p) {
             return p.contains({peer.to_v4().to_uint()});
           });
  };
}

// As a DNS name is written.
std::string own_host_name() {
  std::array<char, 256> name{};
  (void)::gethostname(name.data(), name.size() - 1);
  std::string text = name.data();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string now_text() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace

Exposer::Exposer(asio::io_context& loop, services::SandboxLink& link, kubernetes::ApiClient& api,
                 HostSockets sockets, std::string address)
    : loop_(loop),
      link_(link),
      api_(api),
      sockets_(std::move(sockets)),
      address_(std::move(address)),
      host_name_(own_host_name()),
      ports_([this](const PortSpec& spec) { return open_port(spec); }) {}

Result<std::unique_ptr<OpenPort>> Exposer::open_port(const PortSpec& spec) {
  UniqueFd socket = TRY(sockets_.bind(spec.protocol, spec.address, spec.host_port));
  if (spec.protocol == Protocol::udp)
    return std::make_unique<UdpPort>(std::make_unique<DatagramForwarder>(
        loop_, std::move(socket), link_, spec.target, spec.service_port, admission(spec.sources)));
  auto forwarder = services::Forwarder::take(loop_, std::move(socket));
  forwarder->serve(link_, spec.target, spec.service_port, admission(spec.sources));
  return std::make_unique<TcpPort>(std::move(forwarder));
}

asio::awaitable<Result<void>> Exposer::run() {
  kubernetes::WatchHandlers handlers;
  handlers.listed = [this](const json& items) { on_list(items); };
  handlers.changed = [this](const std::string& type, const json& object) {
    on_change(type, object);
  };
  co_return co_await api_.watch("/api/v1/services", std::move(handlers));
}

void Exposer::on_list(const json& items) {
  std::set<ServiceKey> gone;
  for (const auto& [key, service] : services_) gone.insert(key);
  for (const auto& [key, requests] : requests_) gone.insert(key);
  for (const json& item : items) {
    if (const Result<ServiceKey> key = key_from_json(item)) gone.erase(*key);
    on_change("ADDED", item);
  }
  for (const ServiceKey& key : gone) on_gone(key);
}

void Exposer::on_change(const std::string& type, const json& object) {
  const Result<ServiceKey> key = key_from_json(object);
  if (!key) return log::warning("{}, ignoring", key.error().message());
  if (type == "DELETED") return on_gone(*key);
  Result<Service> service = service_from_json(object);
  if (service) return on_service(std::move(*service));
  // What it was before may be more than it is to be now.
  log::warning("{}: its ports are closed", service.error().message());
  services_.erase(*key);
  report(ports_.set(*key, {}));
}

void Exposer::on_service(Service service) {
  if (stopped_) return;
  const ServiceKey key = service.key;
  services_[key] = std::move(service);
  apply(services_[key]);
}

void Exposer::on_gone(const ServiceKey& key) {
  services_.erase(key);
  requests_.erase(key);
  std::erase_if(told_, [&](const auto& told) { return told.first.starts_with(key.text() + " "); });
  report(ports_.set(key, {}));
}

void Exposer::apply(const Service& service) {
  std::vector<PortSpec> wanted = wanted_ports(service, address_);
  if (const auto found = requests_.find(service.key); found != requests_.end()) {
    for (PortSpec& request : found->second) request.target = service.cluster_ip;
    wanted.insert(wanted.end(), found->second.begin(), found->second.end());
  }
  std::set<ServiceKey> changed = ports_.set(service.key, wanted);
  changed.insert(service.key);  // its status may have been changed by others
  report(changed);
}

void Exposer::report(const std::set<ServiceKey>& changed) {
  for (const ServiceKey& key : changed)
    if (const auto found = services_.find(key); found != services_.end()) report(found->second);
}

void Exposer::report(const Service& service) {
  if (stopped_) return;
  for (const PortEntry& entry : ports_.entries())
    if (entry.spec.service == service.key) tell_refusal(service, entry);
  if (!is_ours(service)) return;
  if (ingress_of(service, ports_.entries(), host_name_) == service.ingress) return;
  if (!writing_.insert(service.key).second) return;  // it looks again when it is through
  asio::co_spawn(loop_, write_ingress(service.key), asio::detached);
}

void Exposer::tell_refusal(const Service& service, const PortEntry& entry) {
  const std::string port = service.key.text() + " " + entry.spec.text();
  if (!entry.refused) {
    told_.erase(port);
    return;
  }
  const std::string cause = entry.refused->message();
  if (std::exchange(told_[port], cause) == cause) return;
  log::warning("Service {} ({}): {}", service.key.text(), to_string(entry.spec.origin), cause);
  const std::string path = fmt::format("/api/v1/namespaces/{}/events", service.key.name_space);
  asio::co_spawn(loop_, post_event(path, refusal_event(service, entry, now_text())),
                 asio::detached);
}

asio::awaitable<void> Exposer::post_event(std::string path, std::string event) {
  const Result<HttpResponse> answer = co_await api_.send("POST", path, event);
  if (!answer)
    log::warning("{}, ignoring", answer.error().message());
  else if (answer->status / 100 != 2)
    log::warning("write an Event at {}: status {}, ignoring", path, answer->status);
}

// Until it says what is, or the Service is gone.
asio::awaitable<void> Exposer::write_ingress(ServiceKey key) {
  asio::steady_timer pause(loop_);
  for (int failures = 0; !stopped_; ++failures) {
    const auto found = services_.find(key);
    if (found == services_.end() || !is_ours(found->second)) break;
    const json ingress = ingress_of(found->second, ports_.entries(), host_name_);
    if (ingress == found->second.ingress) break;
    const Result<HttpResponse> answer = co_await api_.send(
        "PATCH", key.path() + "/status", status_patch(ingress), "application/merge-patch+json");
    const auto still = services_.find(key);
    if (still == services_.end()) break;
    if (answer && answer->status / 100 == 2) {
      still->second.ingress = ingress;  // the watch says so too, later
      failures = -1;
      continue;
    }
    constexpr std::array<unsigned, 5> kFinal{400, 401, 403, 404, 422};
    if (answer && std::find(kFinal.begin(), kFinal.end(), answer->status) != kFinal.end()) {
      log::warning("write the status of Service {}: status {}: {}", key.text(), answer->status,
                   answer->body.substr(0, 200));
      break;
    }
    boost::system::error_code error;
    pause.expires_after(services::backoff(failures));
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  writing_.erase(key);
}

asio::awaitable<Result<Service>> Exposer::look_up(ServiceKey key) {
  constexpr unsigned kNotFound = 404;
  const std::string what = fmt::format("expose Service {}", key.text());
  const Result<HttpResponse> answer = co_await api_.send("GET", key.path());
  if (!answer) co_return tl::make_unexpected(Error(answer.error()).wrap(what));
  if (answer->status == kNotFound)
    co_return failure(
        what + ": there is none of that name",
        fmt::format("'conode kubectl get services -n {}' lists them", key.name_space));
  if (answer->status / 100 != 2)
    co_return failure(fmt::format("{}: status {}", what, answer->status));
  Result<Service> service = service_from_json(json::parse(answer->body, nullptr, false));
  if (!service) co_return tl::make_unexpected(std::move(service).error().wrap(what));
  if (const std::string why = obstacle(*service); !why.empty())
    co_return failure(fmt::format("{}: {}", what, why), "expose a Service with a cluster IP");
  co_return std::move(*service);
}

asio::awaitable<Result<PortSpec>> Exposer::open(Request request) {
  Result<Service> service = co_await look_up(request.service);
  if (!service) co_return tl::make_unexpected(std::move(service).error());
  const Result<ServicePort> port = find_port(*service, request.port);
  if (!port) co_return tl::make_unexpected(port.error());
  const PortSpec spec{.service = request.service,
                      .origin = Origin::request,
                      .protocol = port->protocol,
                      .address = request.address.empty() ? address_ : request.address,
                      .host_port = request.host_port,
                      .target = service->cluster_ip,
                      .service_port = port->port,
                      .sources = {}};
  if (stopped_) co_return failure("expose a Service: the job ends");
  std::vector<PortSpec>& requests = requests_[request.service];
  const bool is_new = std::find(requests.begin(), requests.end(), spec) == requests.end();
  if (is_new) requests.push_back(spec);
  // The watch may know better by now than what we have asked for.
  const auto known = services_.find(request.service);
  apply(known != services_.end() ? known->second : *service);
  if (const PortEntry* entry = ports_.find(spec); entry != nullptr && entry->refused) {
    const Error refused = *entry->refused;
    std::erase(requests_[request.service], spec);
    apply(known != services_.end() ? known->second : *service);
    co_return tl::make_unexpected(refused);
  }
  // The watch may be behind: what it does not know yet may be gone already, and then it will never
  // say so.
  if (!services_.contains(request.service)) {
    const Result<Service> again = co_await look_up(request.service);
    if (!again) {
      on_gone(request.service);
      co_return tl::make_unexpected(again.error());
    }
  }
  co_return spec;
}

Result<std::vector<PortSpec>> Exposer::close(const Request& request) {
  std::vector<PortSpec> closed;
  std::vector<PortSpec> kept;
  const auto service = services_.find(request.service);
  const auto matches = [&](const PortSpec& spec) {
    const PortEntry* entry = ports_.find(spec);
    const uint16_t host_port = entry != nullptr ? entry->port() : spec.host_port;
    if (!request.address.empty() && request.address != spec.address) return false;
    if (request.host_port != 0 && request.host_port != host_port) return false;
    if (request.port.empty() || request.port == std::to_string(spec.service_port)) return true;
    if (service == services_.end()) return false;
    const Result<ServicePort> named = find_port(service->second, request.port);
    return named && named->port == spec.service_port && named->protocol == spec.protocol;
  };
  const auto requests = requests_.find(request.service);
  if (requests != requests_.end()) {
    for (const PortSpec& spec : requests->second) (matches(spec) ? closed : kept).push_back(spec);
    for (PortSpec& spec : closed)
      if (const PortEntry* entry = ports_.find(spec)) spec.host_port = entry->port();
    requests->second = kept;
    if (kept.empty()) requests_.erase(requests);
  }
  if (closed.empty())
    return failure(fmt::format("close Service {}: no such port was opened by 'conode expose'",
                               request.service.text()),
                   "'conode expose --list' shows what is open; a NodePort or LoadBalancer closes "
                   "with its Service, or when that becomes a ClusterIP");
  std::vector<PortSpec> wanted = kept;
  if (service != services_.end()) {
    const std::vector<PortSpec> own = wanted_ports(service->second, address_);
    wanted.insert(wanted.end(), own.begin(), own.end());
  }
  report(ports_.set(request.service, wanted));
  return closed;
}

void Exposer::stop() {
  stopped_ = true;
  services_.clear();
  requests_.clear();
  ports_.clear();
}

}  // namespace conode::expose
