// SPDX-License-Identifier: Apache-2.0
// The verbs of conode-hook: each adds its subcommands and options to the parser, and runs after it.
#pragma once

#include <array>
#include <functional>

#include "agent/base/result.h"

namespace CLI {
class App;
}

namespace conode::hook {

// What a verb wants done, empty where it was not called.
using Run = std::function<Result<void>()>;

// conode-hook delegate
void add_delegate(CLI::App& app, Run& run);

// conode-hook cleanup
void add_cleanup(CLI::App& app, Run& run);

// conode-hook install|uninstall
void add_install(CLI::App& app, Run& run);

// conode-hook vxlan up|down
void add_vxlan(CLI::App& app, Run& run);

inline constexpr std::array<void (*)(CLI::App&, Run&), 4> kVerbs{add_delegate, add_cleanup,
                                                                 add_install, add_vxlan};

}  // namespace conode::hook
