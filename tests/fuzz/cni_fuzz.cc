// SPDX-License-Identifier: Apache-2.0
// libFuzzer target of everything that conode-cni reads from a runtime: the first line is the CNI_*
// variables (verb, container, interface, network namespace, between tabs), the rest is standard
// input. Whatever the bytes, there is an answer, and what is accepted is safe to use as a file's, a
// link's and an nftables element's name.
//   cmake --preset fuzz && cmake --build --preset fuzz
//   build/fuzz/tests/cni_fuzz -max_total_time=60 corpus tests/fuzz/cni_corpus
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>

#include "netplug/cni/config.h"
#include "netplug/cni/naming.h"
#include "netplug/cni/plugin.h"
#include "netplug/cni/request.h"
#include "netplug/cni/verbs.h"

namespace {

using namespace conode::cni;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

Environment environment_of(const std::string& line) {
  std::istringstream words(line);
  std::map<std::string, std::string> variables;
  for (const char* name : {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS"})
    std::getline(words, variables[name], '\t');
  return [variables = std::move(variables)](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  };
}

bool is_plain(const std::string& text) {
  return text.find_first_of(std::string("/\0\n", 3)) == std::string::npos && text != "." &&
         text != ".." && !text.empty();
}

void check_request(const Request& request) {
  if (request.attachment.container.empty()) return;
  require(is_plain(request.attachment.container), "a container's id leaves its directory");
  require(is_plain(request.attachment.interface), "an interface's name leaves its directory");
  require(Attachment::parse(request.attachment.text()) == request.attachment,
          "an attachment does not read back");
  require(host_link_name("n", request.attachment).size() == 15, "a link's name has another length");
}

void check_config(const NetworkConfig& config) {
  require(is_plain(config.name) && is_plain(config.bridge), "a name leaves its directory");
  require(config.data_dir.starts_with('/'), "data_dir is relative");
  require(config.mtu == 0 || (config.mtu >= 68 && config.mtu <= 65535), "MTU out of bounds");
  require(config.range.length >= 8 && config.range.length <= 32, "range out of bounds");
  require(config.mode == Mode::routed || config.range.contains(config.gateway),
          "a bridge's gateway is none of its range");
  for (const PortMapping& port : config.ports)
    require(port.host_port != 0 && port.container_port != 0 &&
                port.protocol.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos,
            "a port that nft would read as something else");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(bytes.find('\n'), bytes.size());
  const std::string_view input = bytes.substr(std::min(end + 1, bytes.size()));
  const Environment environment = environment_of(std::string(bytes.substr(0, end)));
  const auto request = read_request(environment);
  if (request) check_request(*request);
  for (const Command command : {Command::add, Command::del, Command::check, Command::gc}) {
    const auto config = parse_config(input, command);
    if (config) check_config(*config);
    if (!config) require(!config.error().message.empty(), "a failure that says nothing");
  }
  // Only what needs no kernel: the answer is JSON in any case.
  const Reply reply = request && request->command == Command::version
                          ? run_plugin(environment, input)
                          : error_reply({ErrorCode::internal, "x"}, version_of(input));
  require(!nlohmann::json::parse(reply.output, nullptr, false).is_discarded(), "no JSON");
  return 0;
}
