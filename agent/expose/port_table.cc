// SPDX-License-Identifier: Apache-2.0
#include "agent/expose/port_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace conode::expose {

const char* to_string(Origin origin) {
  switch (origin) {
    case Origin::node_port:
      return "NodePort";
    case Origin::load_balancer:
      return "LoadBalancer";
    case Origin::request:
      break;
  }
  return "conode expose";
}

std::string PortSpec::text() const {
  return fmt::format("{}:{} ({})", address, host_port, to_string(protocol));
}

std::vector<PortSpec> wanted_ports(const Service& service, const std::string& address) {
  std::vector<PortSpec> wanted;
  const bool balanced = is_ours(service);
  if (!obstacle(service).empty()) return wanted;
  if (service.type != ServiceType::node_port && service.type != ServiceType::load_balancer)
    return wanted;
  for (const ServicePort& port : service.ports) {
    PortSpec spec{.service = service.key,
                  .origin = Origin::node_port,
                  .protocol = port.protocol,
                  .address = address,
                  .host_port = port.node_port,
                  .target = service.cluster_ip,
                  .service_port = port.port,
                  .sources = service.sources};
    if (port.node_port != 0) wanted.push_back(spec);
    spec.origin = Origin::load_balancer;
    spec.host_port = port.port;
    if (balanced) wanted.push_back(std::move(spec));
  }
  return wanted;
}

const PortEntry* PortTable::find(const PortSpec& spec) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const PortEntry& e) { return e.spec == spec; });
  return found == entries_.end() ? nullptr : &*found;
}

// Whoever has the port among us: a better cause than "address in use".
const PortEntry* PortTable::holder(const PortSpec& spec) const {
  constexpr const char* kAll = "0.0.0.0";
  for (const PortEntry& entry : entries_)
    if (entry.open && entry.spec.protocol == spec.protocol && entry.port() == spec.host_port &&
        (entry.spec.address == spec.address || entry.spec.address == kAll || spec.address == kAll))
      return &entry;
  return nullptr;
}

bool PortTable::open(PortEntry& entry) {
  const std::optional<Error> before = entry.refused;
  Result<std::unique_ptr<OpenPort>> opened;
  if (const PortEntry* other = holder(entry.spec))
    opened = failure(fmt::format("listen on {}: it leads to Service {} already", entry.spec.text(),
                                 other->spec.service.text()),
                     other->spec.origin == Origin::request
                         ? "choose another port, or 'conode expose --close' for that one"
                         : "choose another port, or change that Service");
  else
    opened = open_(entry.spec);
  entry.refused.reset();
  if (opened) {
    entry.open = std::move(*opened);
    return true;
  }
  entry.refused = std::move(opened).error();
  return !before || before->message() != entry.refused->message();
}

std::set<ServiceKey> PortTable::set(const ServiceKey& service,
                                    const std::vector<PortSpec>& wanted) {
  std::set<ServiceKey> changed;
  const size_t closed = std::erase_if(entries_, [&](const PortEntry& entry) {
    return entry.spec.service == service &&
           std::find(wanted.begin(), wanted.end(), entry.spec) == wanted.end();
  });
  if (closed > 0) changed.insert(service);
  for (PortEntry& entry : entries_) {
    if (!entry.refused || (closed == 0 && entry.spec.service != service)) continue;
    if (open(entry)) changed.insert(entry.spec.service);
  }
  for (const PortSpec& spec : wanted) {
    if (find(spec) != nullptr) continue;
    PortEntry entry{spec, nullptr, {}};
    (void)open(entry);
    entries_.push_back(std::move(entry));
    changed.insert(service);
  }
  return changed;
}

}  // namespace conode::expose
