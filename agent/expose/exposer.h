// SPDX-License-Identifier: Apache-2.0
// Services at ports of the host: NodePorts and LoadBalancers as they come and go, and what the user
// asks for. On the event loop's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/expose/host_sockets.h"
#include "agent/expose/port_table.h"
#include "agent/kubernetes/api_client.h"
#include "agent/services/sandbox_link.h"

namespace conode::expose {

// What `conode expose` asks for.
struct Request {
  ServiceKey service;
  std::string port;        // of the Service, number or name; empty: the only one
  std::string address;     // of the host; empty: the configured one
  uint16_t host_port = 0;  // 0: a free one
};

class Exposer {
 public:
  // `address`: of the host, for NodePorts and LoadBalancers. `link` and `api` outlive the object.
  Exposer(boost::asio::io_context& loop, services::SandboxLink& link, kubernetes::ApiClient& api,
          HostSockets sockets, std::string address);

  // Follows the Services until the API server is gone for good. Not more than once.
  boost::asio::awaitable<Result<void>> run();

  // Opens what the user asks for, until the Service goes or close(). The same again is no error.
  boost::asio::awaitable<Result<PortSpec>> open(Request request);
  // Closes what open() has opened for that Service and, where they are given, port, address and
  // host port; says what.
  [[nodiscard]] Result<std::vector<PortSpec>> close(const Request& request);
  // Closes everything, for good; what runs must not be destroyed while it does.
  void stop();

  [[nodiscard]] const std::vector<PortEntry>& ports() const { return ports_.entries(); }
  [[nodiscard]] const PortEntry* find(const PortSpec& spec) const { return ports_.find(spec); }

 private:
  [[nodiscard]] Result<std::unique_ptr<OpenPort>> open_port(const PortSpec& spec);
  void on_list(const nlohmann::json& items);
  void on_change(const std::string& type, const nlohmann::json& object);
  void on_service(Service service);
  void on_gone(const ServiceKey& key);
  void apply(const Service& service);
  void report(const std::set<ServiceKey>& changed);
  void report(const Service& service);
  void tell_refusal(const Service& service, const PortEntry& entry);
  boost::asio::awaitable<void> write_ingress(ServiceKey key);
  boost::asio::awaitable<void> post_event(std::string path, std::string event);
  boost::asio::awaitable<Result<Service>> look_up(ServiceKey key);

  boost::asio::io_context& loop_;
  services::SandboxLink& link_;
  kubernetes::ApiClient& api_;
  HostSockets sockets_;
  std::string address_;
  std::string host_name_;
  PortTable ports_;
  std::map<ServiceKey, Service> services_;  // as the watch has told
  std::map<ServiceKey, std::vector<PortSpec>> requests_;
  std::map<std::string, std::string> told_;  // refusals: port -> cause
  std::set<ServiceKey> writing_;             // their status
  bool stopped_ = false;
};

}  // namespace conode::expose
