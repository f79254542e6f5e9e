// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/file.h"
#include "agent/containerd/image_source.h"

namespace conode::containerd {
namespace {

class DirectorySource : public ImageSource {
 public:
  DirectorySource(std::string path, UniqueFd dir) : path_(std::move(path)), dir_(std::move(dir)) {}

  std::optional<uint64_t> size(const std::string& path) const override {
    struct stat status {};
    if (::fstatat(dir_.get(), path.c_str(), &status, 0) != 0 || !S_ISREG(status.st_mode)) return {};
    return static_cast<uint64_t>(status.st_size);
  }

  Result<std::string> document(const std::string& path) const override {
    return read_file(path, dir_.get(), kLargestDocument);
  }

  Result<void> read_files(const std::set<std::string>& paths, const Take& take) const override {
    for (const std::string& path : paths) {
      const UniqueFd file = TRY(open_at(dir_.get(), path, O_RDONLY));
      TRY(take(path, [&](std::span<char> into) -> Result<size_t> {
        const ssize_t got = ::read(file.get(), into.data(), into.size());
        if (got >= 0) return static_cast<size_t>(got);
        return errno_failure(fmt::format("read '{}/{}'", path_, path));
      }));
    }
    return {};
  }

 private:
  std::string path_;
  UniqueFd dir_;
};

}  // namespace

Result<std::unique_ptr<ImageSource>> open_directory_source(const std::string& path) {
  UniqueFd dir = TRY(open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  return std::make_unique<DirectorySource>(path, std::move(dir));
}

Result<std::unique_ptr<ImageSource>> open_image_source(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return errno_failure(fmt::format("open '{}'", path));
  if (S_ISDIR(status.st_mode)) return open_directory_source(path);
  if (S_ISREG(status.st_mode)) return open_archive_source(path);
  return failure(fmt::format("'{}' is neither a file nor a directory", path));
}

}  // namespace conode::containerd
