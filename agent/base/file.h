// SPDX-License-Identifier: Apache-2.0
// Small files and directories, relative to a directory descriptor (AT_FDCWD for the working
// directory). Any thread. Symbolic links in the last component are never followed when writing.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode {

// open(2) with O_CLOEXEC added.
[[nodiscard]] Result<UniqueFd> open_at(int dir, const std::string& path, int flags,
                                       mode_t mode = 0);

// Whole content of a small file (procfs, sysfs, configuration); fails past `limit` bytes.
[[nodiscard]] Result<std::string> read_file(const std::string& path, int dir = AT_FDCWD,
                                            size_t limit = 16U << 20U);

// As read_file; empty optional where the file does not exist.
[[nodiscard]] Result<std::optional<std::string>> read_file_if_exists(const std::string& path,
                                                                     int dir = AT_FDCWD);

// One write(2) to an existing file: what kernel files want.
[[nodiscard]] Result<void> write_value(const std::string& path, std::string_view value,
                                       int dir = AT_FDCWD);

// A new content for `path`, all or nothing: written beside it, synced by rename.
[[nodiscard]] Result<void> replace_file(const std::string& path, std::string_view content,
                                        mode_t mode = 0600, int dir = AT_FDCWD);

// mkdir; false where it was there already (as a directory).
[[nodiscard]] Result<bool> make_dir(const std::string& path, mode_t mode = 0700,
                                    int dir = AT_FDCWD);
// mkdir -p.
[[nodiscard]] Result<void> make_dirs(const std::string& path, mode_t mode = 0700);

[[nodiscard]] bool exists(const std::string& path, int dir = AT_FDCWD);

// Names in a directory without "." and "..", sorted.
[[nodiscard]] Result<std::vector<std::string>> list_dir(const std::string& path,
                                                        int dir = AT_FDCWD);

// rm -rf below `dir`, never crossing into another file system and never following a link.
// Removing what is absent succeeds.
[[nodiscard]] Result<void> remove_tree(const std::string& path, int dir = AT_FDCWD);

// write(2) until all is written.
[[nodiscard]] Result<void> write_all(int fd, std::string_view data, std::string_view what);

}  // namespace conode
