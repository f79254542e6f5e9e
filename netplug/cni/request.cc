// SPDX-License-Identifier: Apache-2.0
#include "netplug/cni/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

namespace conode::cni {
namespace {

struct Verb {
  const char* name;
  Command command;
  bool attachment;  // needs CNI_CONTAINERID and CNI_IFNAME
  bool netns;       // needs CNI_NETNS
};

constexpr std::array<Verb, 6> kVerbs{{
    {"ADD", Command::add, true, true},
    {"DEL", Command::del, true, false},
    {"CHECK", Command::check, true, true},
    {"GC", Command::gc, false, false},
    {"STATUS", Command::status, false, false},
    {"VERSION", Command::version, false, false},
}};

bool is_alphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool is_container_id(std::string_view id) {
  const auto allowed = [](char c) {
    return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
  };
  return !id.empty() && is_alphanumeric(id.front()) && std::all_of(id.begin(), id.end(), allowed);
}

// The kernel's dev_valid_name(); no byte that would end it early as a path.
bool is_interface_name(std::string_view name) {
  constexpr size_t kLongest = 15;
  const auto forbidden = [](char c) {
    return c == '/' || c == ':' || c == '\0' || std::isspace(static_cast<unsigned char>(c)) != 0;
  };
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), forbidden);
}

}  // namespace

std::optional<Attachment> Attachment::parse(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  Attachment made{text.substr(0, slash), text.substr(slash + 1)};
  if (!is_container_id(made.container) || !is_interface_name(made.interface)) return std::nullopt;
  return made;
}

CniResult<Request> read_request(const Environment& environment) {
  const std::string name = environment("CNI_COMMAND");
  const auto* const verb =
      std::find_if(kVerbs.begin(), kVerbs.end(), [&](const Verb& v) { return name == v.name; });
  if (verb == kVerbs.end())
    return fail(
        ErrorCode::invalid_environment,
        fmt::format("CNI_COMMAND is '{}': must be ADD, DEL, CHECK, GC, STATUS or VERSION", name));
  Request request{verb->command, {}, environment("CNI_NETNS")};
  std::vector<std::string> problems;
  if (verb->attachment) {
    request.attachment = {environment("CNI_CONTAINERID"), environment("CNI_IFNAME")};
    if (!is_container_id(request.attachment.container))
      problems.push_back(fmt::format(
          "CNI_CONTAINERID is '{}': must be letters, digits, '_', '.' or '-', the first a letter "
          "or digit",
          request.attachment.container));
    if (!is_interface_name(request.attachment.interface))
      problems.push_back(
          fmt::format("CNI_IFNAME is '{}': must be 1 to 15 characters without '/', ':' or spaces",
                      request.attachment.interface));
  }
  if (verb->netns && request.netns.empty())
    problems.emplace_back("CNI_NETNS is '': must be the path of the container's network namespace");
  if (!problems.empty()) return fail(ErrorCode::invalid_environment, joined(problems));
  return request;
}

}  // namespace conode::cni
