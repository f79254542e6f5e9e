// SPDX-License-Identifier: Apache-2.0
// What a controller of load balancers writes to the API server. Pure functions; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/expose/port_table.h"
#include "agent/expose/service.h"

namespace conode::expose {

// status.loadBalancer.ingress of a Service of ours: empty while none of its ports is open. ipMode
// Proxy: kube-proxy must not take the host's address for one in the cluster.
[[nodiscard]] nlohmann::json ingress_of(const Service& service,
                                        const std::vector<PortEntry>& entries,
                                        const std::string& host_name);

// A merge patch for the Service's subresource `status`.
[[nodiscard]] std::string status_patch(const nlohmann::json& ingress);

// An Event about a port that could not be opened: `kubectl describe service` shows it. `time` is
// RFC 3339.
[[nodiscard]] std::string refusal_event(const Service& service, const PortEntry& entry,
                                        const std::string& time);

}  // namespace conode::expose
