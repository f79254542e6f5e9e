// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/partial_dir.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "agent/base/file.h"

namespace conode::bundle {
namespace {

struct Place {
  std::string parent;
  std::string prefix;  // of the names of partial directories
};

Place place_of(const std::string& target) {
  const std::filesystem::path path(target);
  const std::string parent = path.parent_path().string();
  return {parent.empty() ? "." : parent, fmt::format(".{}.", path.filename().string())};
}

}  // namespace

Result<PartialDir> PartialDir::create(const std::string& target) {
  std::string final_path = target;
  while (final_path.size() > 1 && final_path.back() == '/') final_path.pop_back();
  const Place place = place_of(final_path);
  TRY(make_dirs(place.parent, 0755));
  std::string path = fmt::format("{}/{}XXXXXX", place.parent, place.prefix);
  if (::mkdtemp(path.data()) == nullptr)
    return errno_failure(fmt::format("create directory '{}'", path));
  return PartialDir(std::move(final_path), std::move(path));
}

PartialDir::~PartialDir() {
  if (!path_.empty()) (void)remove_tree(path_);
}

Result<void> PartialDir::commit() {
  if (::chmod(path_.c_str(), 0755) != 0)
    return errno_failure(fmt::format("set mode of '{}'", path_));
  // Atomic: replaces nothing but an empty directory.
  if (::rename(path_.c_str(), target_.c_str()) != 0)
    return errno_failure(fmt::format("rename '{}' to '{}'", path_, target_));
  path_.clear();
  return {};
}

Result<void> PartialDir::remove_stale(const std::string& target) {
  const Place place = place_of(target);
  if (!exists(place.parent)) return {};
  for (const std::string& name : TRY(list_dir(place.parent))) {
    if (name.starts_with(place.prefix)) TRY(remove_tree(place.parent + "/" + name));
  }
  return {};
}

}  // namespace conode::bundle
