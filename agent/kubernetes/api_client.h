// SPDX-License-Identifier: Apache-2.0
// What the agent itself asks of the API server. On the event loop's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/base/result.h"
#include "agent/services/http.h"

namespace conode::kubernetes {

// The identity in a kubeconfig that has its certificates inline (kubeadm's).
[[nodiscard]] Result<services::TlsIdentity> identity_from_kubeconfig(const std::string& path);

// The same kubeconfig for another server URL.
[[nodiscard]] Result<std::string> kubeconfig_for_server(const std::string& path,
                                                        const std::string& server);

class ApiClient {
 public:
  ApiClient(services::SandboxLink& link, std::string address, uint16_t port,
            std::shared_ptr<services::TlsContext> tls);

  // Creates the object at its collection's `path`; one that is there already is left as it is.
  boost::asio::awaitable<Result<void>> create(std::string path, std::string object);

  // Returns when the API server says "ok" at /readyz.
  boost::asio::awaitable<Result<void>> wait_ready();

  // Returns when the node's condition Ready is True.
  boost::asio::awaitable<Result<void>> wait_node_ready(std::string node);

 private:
  [[nodiscard]] services::HttpRequest request(std::string method, std::string target) const;

  services::SandboxLink& link_;
  std::string address_;
  uint16_t port_;
  std::shared_ptr<services::TlsContext> tls_;
};

}  // namespace conode::kubernetes
