// SPDX-License-Identifier: Apache-2.0
// Which ports of the host are to lead to Services, which do, and why others do not. What opens a
// port is the owner's: this table only decides. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/expose/service.h"

namespace conode::expose {

enum class Origin : uint8_t { node_port, load_balancer, request };
// "NodePort", "LoadBalancer", "conode expose"
[[nodiscard]] const char* to_string(Origin origin);

struct PortSpec {
  ServiceKey service;
  Origin origin = Origin::node_port;
  Protocol protocol = Protocol::tcp;
  std::string address;              // of the host, IPv4
  uint16_t host_port = 0;           // 0: a free one
  std::string target;               // IPv4, in the sandbox: the Service's
  uint16_t service_port = 0;        // at the target
  std::vector<Ipv4Prefix> sources;  // of clients; empty: everybody
  auto operator<=>(const PortSpec&) const = default;
  // "127.0.0.1:8080 (TCP)"
  [[nodiscard]] std::string text() const;
};

// What a Service's type asks for at `address`. Those of a request are the owner's to add.
[[nodiscard]] std::vector<PortSpec> wanted_ports(const Service& service,
                                                 const std::string& address);

// A port that is open; destroying it closes it and its connections.
class OpenPort {
 public:
  OpenPort() = default;
  OpenPort(const OpenPort&) = delete;
  OpenPort& operator=(const OpenPort&) = delete;
  virtual ~OpenPort() = default;
  [[nodiscard]] virtual uint16_t port() const = 0;
};

struct PortEntry {
  PortSpec spec;
  std::unique_ptr<OpenPort> open;  // null: refused
  std::optional<Error> refused;
  [[nodiscard]] uint16_t port() const { return open ? open->port() : spec.host_port; }
};

class PortTable {
 public:
  using Open = std::function<Result<std::unique_ptr<OpenPort>>(const PortSpec&)>;
  explicit PortTable(Open open) : open_(std::move(open)) {}

  // What `service` is to have from now on; what it has besides is closed, what was refused is tried
  // again. Returns the Services whose entries have changed: another one may get what was closed.
  std::set<ServiceKey> set(const ServiceKey& service, const std::vector<PortSpec>& wanted);
  void clear() { entries_.clear(); }

  [[nodiscard]] const std::vector<PortEntry>& entries() const { return entries_; }
  [[nodiscard]] const PortEntry* find(const PortSpec& spec) const;

 private:
  // Whether its state has changed.
  bool open(PortEntry& entry);
  [[nodiscard]] const PortEntry* holder(const PortSpec& spec) const;

  Open open_;
  std::vector<PortEntry> entries_;
};

}  // namespace conode::expose
