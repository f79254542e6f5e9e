// SPDX-License-Identifier: Apache-2.0
// What the runtime asks for: the CNI_* variables. Source: CNI specification 1.1, section 2,
// "Parameters".
#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <string>

#include "netplug/cni/error.h"

namespace conode::cni {

enum class Command { add, del, check, gc, status, version };

// One interface of one container.
struct Attachment {
  std::string container;  // CNI_CONTAINERID
  std::string interface;  // CNI_IFNAME

  // "<container>/<interface>": neither may hold a slash.
  [[nodiscard]] std::string text() const { return container + "/" + interface; }
  [[nodiscard]] static std::optional<Attachment> parse(const std::string& text);
  auto operator<=>(const Attachment&) const = default;
};

struct Request {
  Command command = Command::version;
  Attachment attachment;  // ADD, DEL, CHECK
  std::string netns;      // CNI_NETNS: a path; may be empty for DEL
};

// A variable's value; empty where it is not set.
using Environment = std::function<std::string(const char* name)>;

// Everything that is missing or malformed is named in one failure (code 4). CNI_PATH is not asked
// for: nothing is delegated.
[[nodiscard]] CniResult<Request> read_request(const Environment& environment);

}  // namespace conode::cni
