// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace conode {
namespace detail {

void ArchiveOutput::Free::operator()(archive* writer) const { ::archive_write_free(writer); }

ArchiveOutput::ArchiveOutput(Compression compression, bool tar, Sink sink)
    : sink_(std::move(sink)),
      compression_(compression),
      tar_(tar),
      archive_(::archive_write_new()) {}

// An unfinished archive is closed when it is freed, and that must not write to a sink that may be
// gone.
ArchiveOutput::~ArchiveOutput() { sink_result_ = failure("archive: given up"); }

// libarchive 3.6 leaks its buffer where this fails, so it never does; the failure is ours to keep.
ssize_t ArchiveOutput::on_write(archive* /*writer*/, void* self, const void* data, size_t size) {
  auto& output = *static_cast<ArchiveOutput*>(self);
  if (output.sink_result_)
    output.sink_result_ = output.sink_({static_cast<const char*>(data), size});
  return static_cast<ssize_t>(size);
}

Result<void> ArchiveOutput::check(bool ok, std::string_view what) {
  if (ok && sink_result_) return {};
  return fail(what);
}

Failure ArchiveOutput::fail(std::string_view what) {
  if (!sink_result_)
    return Failure(Error(sink_result_.error()).wrap(fmt::format("archive '{}'", what)));
  const char* text = ::archive_error_string(archive_.get());
  return failure(fmt::format("archive '{}': {}", what, text != nullptr ? text : "unknown error"));
}

Result<void> ArchiveOutput::start() {
  archive* writer = archive_.get();
  int status = tar_ ? ::archive_write_set_format_pax_restricted(writer)
                    : ::archive_write_set_format_raw(writer);
  if (status == ARCHIVE_OK && tar_)  // names are bytes, whatever the locale
    status = ::archive_write_set_format_option(writer, "pax", "hdrcharset", "BINARY");
  if (status == ARCHIVE_OK && compression_ == Compression::gzip) {
    status = ::archive_write_add_filter_gzip(writer);
    if (status == ARCHIVE_OK)  // the time of compression would be in the header
      status = ::archive_write_set_filter_option(writer, "gzip", "timestamp", nullptr);
  }
  if (status == ARCHIVE_OK && compression_ == Compression::zstd)
    status = ::archive_write_add_filter_zstd(writer);
  if (status == ARCHIVE_OK) status = ::archive_write_set_bytes_in_last_block(writer, 1);
  if (status == ARCHIVE_OK)
    status = ::archive_write_open(writer, this, nullptr, &ArchiveOutput::on_write, nullptr);
  if (tar_ || status != ARCHIVE_OK) return check(status == ARCHIVE_OK, "header");
  archive_entry* entry = ::archive_entry_new();
  ::archive_entry_set_filetype(entry, AE_IFREG);
  status = ::archive_write_header(writer, entry);
  ::archive_entry_free(entry);
  return check(status == ARCHIVE_OK, "header");
}

Result<void> ArchiveOutput::write(std::string_view data) {
  if (data.empty()) return {};
  const la_ssize_t written = ::archive_write_data(archive_.get(), data.data(), data.size());
  return check(written == static_cast<la_ssize_t>(data.size()), "data");
}

Result<void> ArchiveOutput::finish() {
  return check(::archive_write_close(archive_.get()) == ARCHIVE_OK, "end");
}

}  // namespace detail

namespace {

Result<std::unique_ptr<detail::ArchiveOutput>> start(Compression compression, bool tar, Sink sink) {
  auto output = std::make_unique<detail::ArchiveOutput>(compression, tar, std::move(sink));
  TRY(output->start());
  return output;
}

struct FreeEntry {
  void operator()(archive_entry* entry) const { ::archive_entry_free(entry); }
};
using ArchiveEntry = std::unique_ptr<archive_entry, FreeEntry>;

ArchiveEntry make_entry(const TarMember& member, unsigned int type, uint64_t size) {
  ArchiveEntry entry(::archive_entry_new());
  ::archive_entry_set_pathname(entry.get(), member.path.c_str());
  ::archive_entry_set_filetype(entry.get(), type);
  ::archive_entry_set_perm(entry.get(), member.mode);
  ::archive_entry_set_uid(entry.get(), member.uid);
  ::archive_entry_set_gid(entry.get(), member.gid);
  ::archive_entry_set_mtime(entry.get(), member.mtime, 0);
  ::archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
  return entry;
}

Result<void> write_header(detail::ArchiveOutput& output, const ArchiveEntry& entry,
                          const std::string& path) {
  return output.check(::archive_write_header(output.get(), entry.get()) == ARCHIVE_OK, path);
}

}  // namespace

Result<TarWriter> TarWriter::create(Compression compression, Sink sink) {
  return TarWriter(TRY(start(compression, true, std::move(sink))));
}

Result<Compressor> Compressor::create(Compression compression, Sink sink) {
  return Compressor(TRY(start(compression, false, std::move(sink))));
}

Result<void> TarWriter::add_file(const TarMember& member, int fd, uint64_t size) {
  TRY(write_header(*output_, make_entry(member, AE_IFREG, size), member.path));
  std::vector<char> buffer(1U << 18U);
  while (size > 0) {
    const ssize_t n = ::read(fd, buffer.data(), std::min<uint64_t>(buffer.size(), size));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_failure(fmt::format("read '{}'", member.path));
    if (n == 0) return failure(fmt::format("read '{}': it became shorter", member.path));
    TRY(output_->write({buffer.data(), static_cast<size_t>(n)}));
    size -= static_cast<uint64_t>(n);
  }
  return {};
}

Result<void> TarWriter::add_content(const TarMember& member, std::string_view content) {
  TRY(write_header(*output_, make_entry(member, AE_IFREG, content.size()), member.path));
  return output_->write(content);
}

Result<void> TarWriter::add_directory(const TarMember& member) {
  return write_header(*output_, make_entry(member, AE_IFDIR, 0), member.path);
}

Result<void> TarWriter::add_symlink(const TarMember& member, const std::string& target) {
  const ArchiveEntry entry = make_entry(member, AE_IFLNK, 0);
  ::archive_entry_set_symlink(entry.get(), target.c_str());
  return write_header(*output_, entry, member.path);
}

Result<void> TarWriter::add_hard_link(const TarMember& member, const std::string& target) {
  const ArchiveEntry entry = make_entry(member, AE_IFREG, 0);
  ::archive_entry_set_hardlink(entry.get(), target.c_str());
  return write_header(*output_, entry, member.path);
}

}  // namespace conode
