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
#include <set>
#include <utility>

#include "agent/base/file.h"
#include "agent/services/service.h"

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

asio::awaitable<Result<HttpResponse>> ApiClient::send(std::string method, std::string path,
                                                      std::string body, std::string content_type) {
  HttpRequest message = request(std::move(method), std::move(path));
  message.body = std::move(body);
  message.content_type = std::move(content_type);
  co_return co_await services::http_request(link_, std::move(message));
}

namespace {

constexpr unsigned kFine = 200;

// An answer that no repetition changes.
bool refuses(unsigned status) {
  return status == 400 || status == 401 || status == 403 || status == 404;
}

Failure refusal(const std::string& path, unsigned status) {
  return failure(fmt::format("watch {}: status {}", path, status));
}

}  // namespace

// The status of the answer; a failure where there was none.
asio::awaitable<Result<unsigned>> ApiClient::list(const std::string& path, WatchReader& reader) {
  const Result<HttpResponse> answer = co_await send("GET", path);
  if (!answer) co_return tl::make_unexpected(answer.error());
  if (answer->status != kFine) co_return answer->status;
  Result<void> taken = reader.take_list(answer->body);
  if (!taken) co_return tl::make_unexpected(std::move(taken).error());
  co_return answer->status;
}

asio::awaitable<Result<unsigned>> ApiClient::follow(const std::string& path, WatchReader& reader) {
  HttpRequest get =
      request("GET", fmt::format("{}?watch=1&allowWatchBookmarks=true&resourceVersion={}", path,
                                 reader.version()));
  std::function<bool(const std::string&)> take = [&reader](const std::string& line) {
    return reader.take_line(line);
  };
  const Result<HttpResponse> ended =
      co_await services::http_follow(link_, std::move(get), std::move(take));
  if (!ended) co_return tl::make_unexpected(ended.error());
  co_return ended->status;
}

asio::awaitable<Result<void>> ApiClient::watch(std::string path, WatchHandlers handlers) {
  WatchReader reader(handlers);
  asio::steady_timer pause(co_await asio::this_coro::executor);
  for (int failures = 0;;) {
    const std::string before = reader.version();
    Result<unsigned> status = 0U;
    if (before.empty())
      status = co_await list(path, reader);
    else
      status = co_await follow(path, reader);
    if (status && refuses(*status)) co_return refusal(path, *status);
    if (status && *status != kFine) reader.forget();  // 410 Gone, say
    // A watch that has told something, or a list, was worth it; the server ends a watch now and
    // then.
    failures = reader.version() != before && !reader.version().empty() ? 0 : failures + 1;
    if (failures == 0) continue;
    boost::system::error_code error;
    pause.expires_after(services::backoff(failures - 1));
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

asio::awaitable<Result<void>> ApiClient::watch_nodes(
    std::function<void(const std::string&, bool)> on_change) {
  const auto name_of = [](const json& node) {
    return node.value(json::json_pointer("/metadata/name"), "");
  };
  std::set<std::string> known;
  WatchHandlers handlers;
  handlers.listed = [&](const json& nodes) {
    std::set<std::string> gone = std::exchange(known, {});
    for (const json& node : nodes) {
      known.insert(name_of(node));
      gone.erase(name_of(node));
      on_change(name_of(node), is_ready(node));
    }
    for (const std::string& name : gone) on_change(name, false);
  };
  handlers.changed = [&](const std::string& type, const json& node) {
    if (type == "DELETED")
      known.erase(name_of(node));
    else
      known.insert(name_of(node));
    on_change(name_of(node), type != "DELETED" && is_ready(node));
  };
  co_return co_await watch("/api/v1/nodes", std::move(handlers));
}

}  // namespace conode::kubernetes
