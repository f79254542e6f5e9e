// SPDX-License-Identifier: Apache-2.0
#include "agent/services/http.h"

#include <fmt/format.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

namespace conode::services {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

struct TlsContext::Impl {
  ssl::context context{ssl::context::tls_client};
  bool verify = false;
};

TlsContext::TlsContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::create(const TlsIdentity& identity) {
  auto impl = std::make_unique<Impl>();
  impl->verify = true;
  error_code error;
  (void)impl->context.set_verify_mode(ssl::verify_peer, error);
  if (!error)
    (void)impl->context.add_certificate_authority(asio::buffer(identity.certificate_authority),
                                                  error);
  if (!error) (void)impl->context.use_certificate_chain(asio::buffer(identity.certificate), error);
  if (!error)
    (void)impl->context.use_private_key(asio::buffer(identity.key), ssl::context::pem, error);
  if (error) return failure("read the client certificate: " + error.message());
  return std::make_shared<TlsContext>(std::move(impl));
}

std::shared_ptr<TlsContext> TlsContext::unverified() {
  auto impl = std::make_unique<Impl>();
  impl->context.set_verify_mode(ssl::verify_none);
  return std::make_shared<TlsContext>(std::move(impl));
}

namespace {

constexpr uint64_t kLargestBody = 64ULL << 20U;

auto capture(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

std::string describe(const HttpRequest& r) {
  return fmt::format("{} {} at {}:{}", r.method, r.target, r.address, r.port);
}

http::request<http::string_body> to_beast(const HttpRequest& r) {
  http::request<http::string_body> request;
  request.method_string(r.method);
  request.target(r.target);
  request.version(11);
  request.set(http::field::host, r.address);
  request.set(http::field::user_agent, "conode");
  request.set(http::field::accept, "application/json");
  if (!r.body.empty()) {
    request.set(http::field::content_type, r.content_type);
    request.body() = r.body;
  }
  request.prepare_payload();
  return request;
}

// Request and response over a connected stream; `on_line` empty: the whole body.
template <typename Stream>
asio::awaitable<Result<HttpResponse>> exchange(
    Stream& stream, const HttpRequest& r, const std::function<bool(const std::string&)>& on_line) {
  error_code error;
  auto request = to_beast(r);
  co_await http::async_write(stream, request, capture(error));
  if (error) co_return failure(describe(r) + ": send: " + error.message());
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kLargestBody);
  if (!on_line) {
    co_await http::async_read(stream, buffer, parser, capture(error));
    if (error) co_return failure(describe(r) + ": receive: " + error.message());
    co_return HttpResponse{parser.get().result_int(), std::move(parser.get().body())};
  }
  beast::get_lowest_layer(stream).expires_never();
  while (!parser.is_done()) {
    co_await http::async_read_some(stream, buffer, parser, capture(error));
    if (error) co_return failure(describe(r) + ": receive: " + error.message());
    std::string& body = parser.get().body();
    for (size_t end = 0; (end = body.find('\n')) != std::string::npos; body.erase(0, end + 1))
      if (!on_line(body.substr(0, end))) co_return HttpResponse{parser.get().result_int(), {}};
  }
  co_return HttpResponse{parser.get().result_int(), std::move(parser.get().body())};
}

asio::awaitable<Result<HttpResponse>> run(SandboxLink& link, HttpRequest r,
                                          std::function<bool(const std::string&)> on_line) {
  Result<tcp::socket> socket = co_await link.dial(r.address, r.port);
  if (!socket) co_return tl::make_unexpected(std::move(socket).error());
  beast::tcp_stream plain(std::move(*socket));
  plain.expires_after(r.timeout);
  if (!r.tls) co_return co_await exchange(plain, r, on_line);

  TlsContext::Impl& tls = r.tls->impl();
  beast::ssl_stream<beast::tcp_stream> stream(std::move(plain), tls.context);
  if (tls.verify) stream.set_verify_callback(ssl::host_name_verification(r.address));
  error_code error;
  co_await stream.async_handshake(ssl::stream_base::client, capture(error));
  if (error) co_return failure(describe(r) + ": TLS handshake: " + error.message());
  co_return co_await exchange(stream, r, on_line);
}

}  // namespace

asio::awaitable<Result<HttpResponse>> http_request(SandboxLink& link, HttpRequest request) {
  return run(link, std::move(request), std::function<bool(const std::string&)>());
}

asio::awaitable<Result<HttpResponse>> http_follow(SandboxLink& link, HttpRequest request,
                                                  std::function<bool(const std::string&)> on_line) {
  return run(link, std::move(request), std::move(on_line));
}

}  // namespace conode::services
