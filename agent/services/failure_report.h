// SPDX-License-Identifier: Apache-2.0
// Why a service does not run, in words a user can act on: its last lines and what they mean.
#pragma once

#include <string>

#include "agent/base/result.h"

namespace conode::services {

// Reads the end of `log_path`; the remedy is filled in where a known message is found.
[[nodiscard]] Error explain_failure(const std::string& service, const std::string& last_exit,
                                    const std::string& log_path);

// At most `size` bytes; empty where the file cannot be read.
[[nodiscard]] std::string end_of_file(const std::string& path, size_t size);

// The last `count` lines of a text.
[[nodiscard]] std::string last_lines(const std::string& text, int count);

}  // namespace conode::services
