// SPDX-License-Identifier: Apache-2.0
// One log for programs (libraries never log): to standard error as "<level>message key=value ...".
// The level prefix is the journal's (sd-daemon(3)) where standard error is the journal's.
// The function that handles an error logs it, once. Any thread.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace conode::log {

enum class Level { debug, info, warning, error };

void set_level(Level level);
[[nodiscard]] bool enabled(Level level);
// Everything that is logged also goes, with a time stamp, to `path` (the agent's own log).
void add_file(const std::string& path);
// The latest lines of all, with time stamps: what is left to tell once the file is removed.
[[nodiscard]] std::vector<std::string> recent();
void write(Level level, std::string_view message);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace conode::log
