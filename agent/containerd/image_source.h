// SPDX-License-Identifier: Apache-2.0
// Private to this folder: the files of an image, from a directory or out of a tar archive. Paths
// are relative, without a leading "./". One thread per object.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "agent/base/result.h"

namespace conode::containerd {

// The next bytes of a file, at most as many as `into` holds; 0: its end.
using Reader = std::function<Result<size_t>(std::span<char> into)>;

class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // Bytes; empty where there is no such regular file.
  [[nodiscard]] virtual std::optional<uint64_t> size(const std::string& path) const = 0;
  // Whole content of a small file (JSON, up to kLargestDocument).
  [[nodiscard]] virtual Result<std::string> document(const std::string& path) const = 0;
  // Calls `take` once for each of `paths`, in whatever order suits the source. The first failure
  // ends it. A path that is not there is a failure.
  using Take = std::function<Result<void>(const std::string& path, const Reader& read)>;
  [[nodiscard]] virtual Result<void> read_files(const std::set<std::string>& paths,
                                                const Take& take) const = 0;

  static constexpr uint64_t kLargestDocument = 4U << 20U;
};

// A directory, or a tar archive (plain, gzip, bzip2, xz, zstd). An archive is read through once
// here, over its blobs where it is not compressed.
[[nodiscard]] Result<std::unique_ptr<ImageSource>> open_image_source(const std::string& path);

// For open_image_source().
[[nodiscard]] Result<std::unique_ptr<ImageSource>> open_directory_source(const std::string& path);
[[nodiscard]] Result<std::unique_ptr<ImageSource>> open_archive_source(const std::string& path);

}  // namespace conode::containerd
