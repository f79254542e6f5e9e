// SPDX-License-Identifier: Apache-2.0
// A directory that is filled beside its final place and renamed to it when complete; without
// commit() it goes with its owner. Move-only.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "agent/base/result.h"

namespace conode::bundle {

class PartialDir {
 public:
  // `.NAME.XXXXXX` beside `target`, whose parent is made.
  [[nodiscard]] static Result<PartialDir> create(const std::string& target);
  PartialDir(PartialDir&& other) noexcept
      : target_(std::move(other.target_)), path_(std::exchange(other.path_, {})) {}
  PartialDir& operator=(PartialDir&&) = delete;
  PartialDir(const PartialDir&) = delete;
  ~PartialDir();

  [[nodiscard]] const std::string& path() const { return path_; }
  // Readable for everybody, at its final place. Fails where something else is there by now.
  [[nodiscard]] Result<void> commit();

  // Removes what interrupted runs left beside `target`; only while no other run can be active.
  [[nodiscard]] static Result<void> remove_stale(const std::string& target);

 private:
  PartialDir(std::string target, std::string path)
      : target_(std::move(target)), path_(std::move(path)) {}
  std::string target_;
  std::string path_;
};

}  // namespace conode::bundle
