// SPDX-License-Identifier: Apache-2.0
// Which program gives a node's pods the way to the site's network, and its command line. Pure but
// for the search in PATH, which is the caller's. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/egress/inward.h"

namespace conode::egress {

enum class Kind : uint8_t { none, pasta, slirp4netns };
// In the order of config.Egress.Program.
enum class Wanted : uint8_t { automatic, pasta, slirp4netns, none };

// "pasta"
[[nodiscard]] const char* to_string(Kind kind);

struct Choice {
  Kind kind = Kind::none;
  std::string program;  // path
  std::string reason;   // why there is none
};

// pasta first, slirp4netns else. `find`: a program's path, empty where it is not installed.
[[nodiscard]] Choice choose(Wanted wanted,
                            const std::function<std::string(const std::string&)>& find);

// Attaches to the namespaces of `sandbox`, forwards no port inwards but `inward`, and gives no way
// to the host's loopback. Stays in the foreground.
[[nodiscard]] std::vector<std::string> command_line(const Choice& choice, pid_t sandbox,
                                                    const std::optional<Inward>& inward = {});

}  // namespace conode::egress
