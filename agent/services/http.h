// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 into the sandbox, over Boost.Beast, with or without TLS. On the event loop's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "agent/base/result.h"
#include "agent/services/sandbox_link.h"

namespace conode::services {

// A client's TLS identity and the authority it trusts; PEM texts.
struct TlsIdentity {
  std::string certificate_authority;
  std::string certificate;
  std::string key;
};

class TlsContext {
 public:
  // Verifies the server against `identity`'s authority and address.
  [[nodiscard]] static Result<std::shared_ptr<TlsContext>> create(const TlsIdentity& identity);
  // For health endpoints with self-signed certificates on the sandbox's loopback.
  [[nodiscard]] static std::shared_ptr<TlsContext> unverified();

  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  ~TlsContext();
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

struct HttpRequest {
  std::string address;
  uint16_t port = 0;
  std::string method = "GET";
  std::string target = "/";
  std::string body;
  std::string content_type = "application/json";
  std::shared_ptr<TlsContext> tls;           // empty: plain
  std::chrono::milliseconds timeout{10000};  // for each step
};

struct HttpResponse {
  unsigned status = 0;
  std::string body;
};

// One request on a connection of its own. Any HTTP status is a value.
boost::asio::awaitable<Result<HttpResponse>> http_request(SandboxLink& link, HttpRequest request);

// A request whose body never ends (a Kubernetes watch): `on_line` gets each line; false ends it.
// Returns when on_line said so, or the server closed.
boost::asio::awaitable<Result<HttpResponse>> http_follow(
    SandboxLink& link, HttpRequest request, std::function<bool(const std::string&)> on_line);

}  // namespace conode::services
