// SPDX-License-Identifier: Apache-2.0
#include "agent/base/temp_dir.h"

#include <fmt/format.h>

#include <cstdlib>

#include "agent/base/file.h"

namespace conode {

Result<TempDir> TempDir::create(const std::string& prefix) {
  const char* parent = std::getenv("TMPDIR");
  return create_in(parent != nullptr && *parent != '\0' ? parent : "/tmp", prefix);
}

Result<TempDir> TempDir::create_in(const std::string& parent, const std::string& prefix) {
  std::string path = fmt::format("{}/{}.XXXXXX", parent, prefix);
  if (::mkdtemp(path.data()) == nullptr)
    return errno_failure(fmt::format("create directory '{}'", path));
  return TempDir(std::move(path));
}

TempDir::~TempDir() {
  if (!path_.empty()) (void)remove_tree(path_);
}

}  // namespace conode
