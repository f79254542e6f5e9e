// SPDX-License-Identifier: Apache-2.0
// Tar archives (POSIX pax, ustar where it suffices) into a sink, over libarchive. Deterministic:
// the same calls give the same bytes. One thread per object; only this pair, archive.cc and tests
// include libarchive.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.h"

struct archive;

namespace conode {

// Takes the next bytes of the output; a failure ends the archive.
using Sink = std::function<Result<void>(std::string_view)>;

enum class Compression { none, gzip, zstd };

struct TarMember {
  std::string path;
  mode_t mode = 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
  time_t mtime = 0;
};

namespace detail {
// libarchive's writer with our sink behind it.
class ArchiveOutput {
 public:
  ArchiveOutput(Compression compression, bool tar, Sink sink);
  [[nodiscard]] Result<void> start();
  ArchiveOutput(const ArchiveOutput&) = delete;
  ArchiveOutput& operator=(const ArchiveOutput&) = delete;
  ~ArchiveOutput();
  // Whether the last call of libarchive and all of the sink's went well; `what` was written.
  [[nodiscard]] Result<void> check(bool ok, std::string_view what);
  [[nodiscard]] Result<void> write(std::string_view data);
  [[nodiscard]] Result<void> finish();
  [[nodiscard]] archive* get() { return archive_.get(); }

 private:
  struct Free {
    void operator()(archive* writer) const;
  };
  [[nodiscard]] Failure fail(std::string_view what);
  static ssize_t on_write(archive* writer, void* self, const void* data, size_t size);

  Sink sink_;
  tl::expected<void, Error> sink_result_;
  Compression compression_;
  bool tar_;
  std::unique_ptr<archive, Free> archive_;
};
}  // namespace detail

class TarWriter {
 public:
  [[nodiscard]] static Result<TarWriter> create(Compression compression, Sink sink);

  // `size` bytes from `fd`; fewer are a failure.
  [[nodiscard]] Result<void> add_file(const TarMember& member, int fd, uint64_t size);
  [[nodiscard]] Result<void> add_content(const TarMember& member, std::string_view content);
  [[nodiscard]] Result<void> add_directory(const TarMember& member);
  [[nodiscard]] Result<void> add_symlink(const TarMember& member, const std::string& target);
  [[nodiscard]] Result<void> add_hard_link(const TarMember& member, const std::string& target);
  // Without it the archive is incomplete.
  [[nodiscard]] Result<void> finish() { return output_->finish(); }

 private:
  explicit TarWriter(std::unique_ptr<detail::ArchiveOutput> output) : output_(std::move(output)) {}
  std::unique_ptr<detail::ArchiveOutput> output_;
};

// A compressed stream without an archive around it.
class Compressor {
 public:
  [[nodiscard]] static Result<Compressor> create(Compression compression, Sink sink);
  [[nodiscard]] Result<void> write(std::string_view data) { return output_->write(data); }
  [[nodiscard]] Result<void> finish() { return output_->finish(); }

 private:
  explicit Compressor(std::unique_ptr<detail::ArchiveOutput> output) : output_(std::move(output)) {}
  std::unique_ptr<detail::ArchiveOutput> output_;
};

}  // namespace conode
