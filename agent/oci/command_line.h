// SPDX-License-Identifier: Apache-2.0
// runc's command line, as far as the wrapper must understand it (runc 1.5: runc.8, runc-create.8):
//   runc [global flags] COMMAND [flags] CONTAINER-ID ...
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace conode {

struct RuntimeCall {
  std::vector<std::string> arguments;  // without the program's name
  size_t command_at = 0;               // index of COMMAND; arguments.size() where there is none
  std::string command;                 // "create"; empty where there is none
  std::string log;                     // --log; empty where it is not given
  std::string log_format;              // --log-format
  std::string bundle = ".";            // --bundle of create and run
  std::string container_id;            // of create and run

  // create and run read the bundle's configuration.
  [[nodiscard]] bool uses_bundle() const { return command == "create" || command == "run"; }
};

// Never fails: what it does not know it leaves to runc, which knows.
[[nodiscard]] RuntimeCall parse_runtime_call(std::vector<std::string> arguments);

}  // namespace conode
