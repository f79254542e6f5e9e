// SPDX-License-Identifier: Apache-2.0
// Short external commands (newuidmap, go, ...): run, collect, wait. Over Boost.Process.
// Blocks the calling thread; any thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace conode {

struct CommandOutput {
  int exit_code = 0;
  std::string standard_output;
  std::string standard_error;
};

struct CommandOptions {
  std::string working_dir;                                   // empty: inherited
  std::map<std::string, std::string> environment;            // added to ours
  std::function<void(std::string_view line)> on_error_line;  // called for each line of stderr
};

// One word of a shell's command line.
[[nodiscard]] std::string shell_quoted(const std::string& text);

// Path of `program` in PATH (and the sbin directories); empty where it is not installed.
[[nodiscard]] std::string find_program(const std::string& program);

// Fails only where the program could not be run at all; its exit code is a value.
[[nodiscard]] Result<CommandOutput> run_command(const std::vector<std::string>& argv,
                                                const CommandOptions& options = {});

// As run_command, but a non-zero exit is a failure that carries the last line of stderr.
[[nodiscard]] Result<std::string> command_output(const std::vector<std::string>& argv,
                                                 const CommandOptions& options = {});

}  // namespace conode
