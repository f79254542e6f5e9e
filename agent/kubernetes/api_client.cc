// SPDX-License-Identifier: Apache-2.0
#include "agent/kubernetes/api_client.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <yaml-cpp/yaml.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"

namespace conode::kubernetes {

namespace asio = boost::asio;
using nlohmann::json;
using services::HttpRequest;
using services::HttpResponse;

namespace {

Result<std::string> decode_base64(const std::string& text) {
  std::string out(text.size() / 4 * 3 + 3, '\0');
  const int size = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  if (size < 0) return failure("decode base64");
  out.resize(static_cast<size_t>(size));
  while (!out.empty() && out.back() == '\0') out.pop_back();  // EVP counts the padding
  return out;
}

bool is_ready(const json& node) {
  for (const json& condition : node.value("/status/conditions"_json_pointer, json::array()))
    if (condition.value("type", "") == "Ready") return condition.value("status", "") == "True";
  return false;
}

}  // namespace

Result<services::TlsIdentity> identity_from_kubeconfig(const std::string& path) {
  const std::string text = TRY(read_file(path));
  try {
    const YAML::Node config = YAML::Load(text);
    const YAML::Node cluster = config["clusters"][0]["cluster"];
    const YAML::Node user = config["users"][0]["user"];
    services::TlsIdentity found;
    found.certificate_authority =
        TRY(decode_base64(cluster["certificate-authority-data"].as<std::string>()));
    found.certificate = TRY(decode_base64(user["client-certificate-data"].as<std::string>()));
    found.key = TRY(decode_base64(user["client-key-data"].as<std::string>()));
    return found;
  } catch (const YAML::Exception& e) {
    return failure(fmt::format("read kubeconfig '{}': {}", path, e.what()));
  }
}

Result<std::string> kubeconfig_for_server(const std::string& path, const std::string& server) {
  const std::string text = TRY(read_file(path));
  try {
    YAML::Node config = YAML::Load(text);
    config["clusters"][0]["cluster"]["server"] = server;
    return YAML::Dump(config) + "\n";
  } catch (const YAML::Exception& e) {
    return failure(fmt::format("read kubeconfig '{}': {}", path, e.what()));
  }
}

ApiClient::ApiClient(services::SandboxLink& link, std::string address, uint16_t port,
                     std::shared_ptr<services::TlsContext> tls)
    : link_(link), address_(std::move(address)), port_(port), tls_(std::move(tls)) {}

HttpRequest ApiClient::request(std::string method, std::string target) const {
  return {.address = address_,
          .port = port_,
          .method = std::move(method),
          .target = std::move(target),
          .tls = tls_};
}

namespace {

// Between two looks at what gives no event.
constexpr std::chrono::milliseconds kPollInterval{20};

asio::awaitable<void> wait_for_next_poll() {
  asio::steady_timer pause(co_await asio::this_coro::executor);
  boost::system::error_code error;
  pause.expires_after(kPollInterval);
  co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
}

}  // namespace

asio::awaitable<Result<void>> ApiClient::wait_ready() {
  for (;;) {
    HttpRequest get = request("GET", "/readyz");
    const Result<HttpResponse> answer = co_await services::http_request(link_, std::move(get));
    if (answer && answer->status == 200) co_return Result<void>{};
    co_await wait_for_next_poll();
  }
}

asio::awaitable<Result<void>> ApiClient::create(std::string path, std::string object) {
  constexpr unsigned kConflict = 409;
  constexpr int kAttempts = 100;
  for (int attempt = 1;;) {
    HttpRequest post = request("POST", path);
    post.body = object;
    const Result<HttpResponse> answer = co_await services::http_request(link_, std::move(post));
    if (!answer) {  // it is being restarted: the caller has a deadline
      co_await wait_for_next_poll();
      continue;
    }
    if (answer->status / 100 == 2 || answer->status == kConflict) co_return Result<void>{};
    // What a new API server makes by itself (ranges of cluster IPs, namespaces) may come later.
    if (attempt++ == kAttempts)
      co_return failure(fmt::format("create object at {}: status {}: {}", path, answer->status,
                                    answer->body.substr(0, 400)));
    co_await wait_for_next_poll();
  }
}

asio::awaitable<Result<void>> ApiClient::watch_nodes(
    std::function<void(const std::string&, bool)> on_change) {
  for (;;) {
    HttpRequest watch = request("GET", "/api/v1/nodes?watch=1");
    std::function<bool(const std::string&)> look = [&on_change](const std::string& line) {
      const json event = json::parse(line, nullptr, false);
      if (!event.is_object() || !event.contains("object")) return true;
      const json& node = event["object"];
      const std::string name = node.value(json::json_pointer("/metadata/name"), "");
      on_change(name, event.value("type", "") != "DELETED" && is_ready(node));
      return true;
    };
    const Result<HttpResponse> ended =
        co_await services::http_follow(link_, std::move(watch), std::move(look));
    // Ends by the server's timeout after minutes, or by its restart: the supervisor's to report.
    if (ended && ended->status != 200)
      co_return failure(
          fmt::format("watch the nodes: status {}: {}", ended->status, ended->body.substr(0, 400)));
    co_await wait_for_next_poll();
  }
}

}  // namespace conode::kubernetes
