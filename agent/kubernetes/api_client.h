// SPDX-License-Identifier: Apache-2.0
// What the agent itself asks of the API server. On the event loop's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/base/result.h"
#include "agent/kubernetes/watch.h"
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

  // Returns when the API server says "ok" at /readyz; as the others, it waits for a server that is
  // not there.
  boost::asio::awaitable<Result<void>> wait_ready();

  // One request; any HTTP status is a value.
  boost::asio::awaitable<Result<services::HttpResponse>> send(
      std::string method, std::string path, std::string body = {},
      std::string content_type = "application/json");

  // Follows the collection at `path` until the API server is gone for good or refuses (a failure);
  // goes on where it was when the connection breaks, with a growing pause.
  boost::asio::awaitable<Result<void>> watch(std::string path, WatchHandlers handlers);

  // Calls `on_change` with each node's name and whether its condition Ready is True, first for all
  // there are, then for each change, until the API server is gone for good.
  boost::asio::awaitable<Result<void>> watch_nodes(
      std::function<void(const std::string& name, bool ready)> on_change);

 private:
  [[nodiscard]] services::HttpRequest request(std::string method, std::string target) const;
  boost::asio::awaitable<Result<unsigned>> list(const std::string& path, WatchReader& reader);
  boost::asio::awaitable<Result<unsigned>> follow(const std::string& path, WatchReader& reader);

  services::SandboxLink& link_;
  std::string address_;
  uint16_t port_;
  std::shared_ptr<services::TlsContext> tls_;
};

}  // namespace conode::kubernetes
