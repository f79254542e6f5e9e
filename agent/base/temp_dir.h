// SPDX-License-Identifier: Apache-2.0
// A private scratch directory (0700) that goes with its owner. Move-only.
#pragma once

#include <string>

#include "agent/base/result.h"

namespace conode {

class TempDir {
 public:
  // Below $TMPDIR or /tmp: `PREFIX.XXXXXX`.
  [[nodiscard]] static Result<TempDir> create(const std::string& prefix = "conode");
  [[nodiscard]] static Result<TempDir> create_in(const std::string& parent,
                                                 const std::string& prefix = "conode");
  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&&) = delete;
  TempDir(const TempDir&) = delete;
  ~TempDir();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace conode
