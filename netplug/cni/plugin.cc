// SPDX-License-Identifier: Apache-2.0
#include "netplug/cni/plugin.h"

#include <nlohmann/json.hpp>

#include "netplug/cni/verbs.h"

namespace conode::cni {
namespace {

using nlohmann::json;

std::string printed(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// Null where the operation has no output.
CniResult<json> silent(const CniResult<void>& done) {
  if (!done) return tl::make_unexpected(done.error());
  return json();
}

CniResult<json> perform(const Request& request, std::string_view input) {
  if (request.command == Command::version)
    return json{{"cniVersion", version_of(input)}, {"supportedVersions", supported_versions()}};
  const NetworkConfig config = TRY(parse_config(input, request.command));
  switch (request.command) {
    case Command::add:
      return add(request, config);
    case Command::del:
      return silent(del(request, config));
    case Command::check:
      return silent(check(request, config));
    case Command::gc:
      return silent(collect_garbage(config));
    default:
      return silent(status(config));
  }
}

CniResult<json> serve(const Environment& environment, std::string_view input) {
  const Request request = TRY(read_request(environment));
  return perform(request, input);
}

}  // namespace

Reply error_reply(const CniError& error, const std::string& version) {
  json document = {
      {"cniVersion", version}, {"code", static_cast<int>(error.code)}, {"msg", error.message}};
  if (!error.details.empty()) document["details"] = error.details;
  return {1, printed(document)};
}

Reply run_plugin(const Environment& environment, std::string_view input) {
  const CniResult<json> done = serve(environment, input);
  if (!done) return error_reply(done.error(), version_of(input));
  return {0, done->is_null() ? std::string() : printed(*done)};
}

void undo_add(const Environment& environment, std::string_view input) {
  const CniResult<Request> request = read_request(environment);
  if (!request || request->command != Command::add) return;
  const CniResult<NetworkConfig> config = parse_config(input, Command::del);
  if (config) (void)del(*request, *config);
}

}  // namespace conode::cni
