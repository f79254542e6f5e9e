// SPDX-License-Identifier: Apache-2.0
// From environment and standard input to the reply on standard output.
#pragma once

#include <string>
#include <string_view>

#include "netplug/cni/request.h"

namespace conode::cni {

struct Reply {
  int exit_code = 0;
  std::string output;  // JSON or nothing: all that may go to standard output
};

// Does what is asked for, in the calling process's network namespace.
[[nodiscard]] Reply run_plugin(const Environment& environment, std::string_view input);

// For an ADD whose result could not be delivered: the runtime takes it for failed.
void undo_add(const Environment& environment, std::string_view input);

// The reply for a failure; `version` is the cniVersion of the input, where it could be read.
[[nodiscard]] Reply error_reply(const CniError& error, const std::string& version = "1.1.0");

}  // namespace conode::cni
