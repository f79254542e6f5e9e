// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <climits>
#include <map>
#include <utility>

#include "agent/base/file.h"
#include "agent/bundle/oci_layout.h"

namespace conode::image {
namespace {

struct Walk {
  std::string root;
  std::vector<ImageFile> files;
  std::map<std::pair<dev_t, ino_t>, std::string> first_paths;  // of files with several links
};

Result<std::string> read_link(const std::string& path) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size < 0) return errno_failure(fmt::format("read link '{}'", path));
  target.resize(static_cast<size_t>(size));
  return target;
}

Result<void> walk_directory(Walk& walk, const std::string& below);

Result<void> walk_entry(Walk& walk, const std::string& path) {
  const std::string source = walk.root + "/" + path;
  struct stat st {};
  if (::lstat(source.c_str(), &st) != 0) return errno_failure(fmt::format("stat '{}'", source));
  ImageFile file{.path = path,
                 .source = {},
                 .content = {},
                 .target = {},
                 .mode = st.st_mode & 07777U,
                 .mtime = st.st_mtime};
  if (S_ISDIR(st.st_mode)) {
    file.type = FileType::directory;
    walk.files.push_back(std::move(file));
    return walk_directory(walk, path);
  }
  if (S_ISLNK(st.st_mode)) {
    file.type = FileType::symlink;
    file.target = TRY(read_link(source));
  } else if (S_ISREG(st.st_mode)) {
    file.source = source;
    const auto [first, is_new] = walk.first_paths.try_emplace({st.st_dev, st.st_ino}, path);
    if (st.st_nlink > 1 && !is_new) {
      file.type = FileType::hard_link;
      file.target = first->second;
    }
  } else {
    return {};
  }
  walk.files.push_back(std::move(file));
  return {};
}

Result<void> walk_directory(Walk& walk, const std::string& below) {
  for (const std::string& name : TRY(list_dir(walk.root + "/" + below)))
    TRY(walk_entry(walk, below.empty() ? name : fmt::format("{}/{}", below, name)));
  return {};
}

}  // namespace

Result<std::vector<ImageFile>> files_of_directory(const std::string& root) {
  Walk walk{.root = root, .files = {}, .first_paths = {}};
  TRY_AS(fmt::format("read root file system '{}'", root), walk_directory(walk, ""));
  return std::move(walk.files);
}

}  // namespace conode::image
