// SPDX-License-Identifier: Apache-2.0
// A tar archive is read twice: once for its table of contents and its documents, which decide what
// is needed and whether it is an image at all, and once for the blobs that are to be sent.
#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <map>

#include "agent/containerd/image_source.h"

namespace conode::containerd {
namespace {

constexpr size_t kBlock = 256U << 10U;          // bytes per read(2)
constexpr size_t kDocumentsInAll = 32U << 20U;  // bytes; an archive of many images

struct Free {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};
using Handle = std::unique_ptr<archive, Free>;

std::string normalized(std::string path) {
  while (path.starts_with("./") || path.starts_with("/")) path.erase(0, path.find('/') + 1);
  return path;
}

// "a/b/layer.tar" -> "../c/layer.tar" is "a/c/layer.tar" (links of old `docker save`).
std::string link_target(const std::string& path, std::string target) {
  std::string dir = path.substr(0, path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  while (target.starts_with("../")) {
    target.erase(0, 3);
    dir.erase(dir.rfind('/') == std::string::npos ? 0 : dir.rfind('/'));
  }
  return normalized(dir.empty() ? target : dir + "/" + target);
}

class ArchiveSource : public ImageSource {
 public:
  explicit ArchiveSource(std::string path) : path_(std::move(path)) {}

  Result<void> scan();

  std::optional<uint64_t> size(const std::string& path) const override {
    const auto found = sizes_.find(resolved(path));
    return found == sizes_.end() ? std::optional<uint64_t>() : found->second;
  }

  Result<std::string> document(const std::string& path) const override {
    const auto found = documents_.find(resolved(path));
    if (found != documents_.end()) return found->second;
    return failure(fmt::format("'{}' in '{}' is no JSON document", path, path_));
  }

  Result<void> read_files(const std::set<std::string>& paths, const Take& take) const override;

 private:
  Failure archive_failure(archive* reader) const {
    if (::archive_format(reader) == 0)  // not even a first header was read
      return failure(fmt::format("'{}' is no tar archive", path_),
                     "give an OCI image layout (a directory or its tar) or the output of "
                     "'docker save'");
    const char* text = ::archive_error_string(reader);
    return failure(
        fmt::format("read archive '{}': {}", path_, text == nullptr ? "Truncated" : text),
        "make the archive again; it may have been copied incompletely");
  }
  Result<Handle> open() const;
  Result<bool> next(archive* reader, archive_entry** entry) const;
  Result<void> keep_document(archive* reader, const std::string& name, uint64_t size);

  std::string resolved(const std::string& path) const {
    const auto link = links_.find(path);
    return link == links_.end() ? path : link->second;
  }

  std::string path_;
  std::map<std::string, uint64_t> sizes_;
  std::map<std::string, std::string> links_;
  std::map<std::string, std::string> documents_;
  size_t documents_size_ = 0;
};

Result<Handle> ArchiveSource::open() const {
  Handle reader(::archive_read_new());
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_filter_bzip2(reader.get());
  ::archive_read_support_filter_xz(reader.get());
  ::archive_read_support_filter_zstd(reader.get());
  ::archive_read_support_format_tar(reader.get());
  if (::archive_read_open_filename(reader.get(), path_.c_str(), kBlock) != ARCHIVE_OK)
    return archive_failure(reader.get());
  return reader;
}

Result<bool> ArchiveSource::next(archive* reader, archive_entry** entry) const {
  const int code = ::archive_read_next_header(reader, entry);
  if (code == ARCHIVE_EOF) return false;
  if (code == ARCHIVE_OK || code == ARCHIVE_WARN) return true;
  return archive_failure(reader);
}

// JSON starts with a brace or a bracket; layers never do.
Result<void> ArchiveSource::keep_document(archive* reader, const std::string& name, uint64_t size) {
  std::string text(size, '\0');
  size_t have = 0;
  while (have < size) {
    const la_ssize_t got =
        ::archive_read_data(reader, text.data() + have, have == 0 ? 1 : size - have);
    if (got < 0) return archive_failure(reader);
    if (got == 0) return archive_failure(reader);
    if (have == 0 && text[0] != '{' && text[0] != '[') return {};
    have += static_cast<size_t>(got);
  }
  documents_size_ += size;
  if (documents_size_ > kDocumentsInAll)
    return failure(
        fmt::format("archive '{}' holds more than {} MiB of JSON", path_, kDocumentsInAll >> 20U));
  documents_[name] = std::move(text);
  return {};
}

Result<void> ArchiveSource::scan() {
  const Handle reader = TRY(open());
  archive_entry* entry = nullptr;
  while (TRY(next(reader.get(), &entry))) {
    const std::string name = normalized(::archive_entry_pathname(entry));
    if (const char* target = ::archive_entry_hardlink(entry)) {
      links_[name] = normalized(target);
    } else if (::archive_entry_filetype(entry) == AE_IFLNK) {
      links_[name] = link_target(name, ::archive_entry_symlink(entry));
    } else if (::archive_entry_filetype(entry) == AE_IFREG) {
      const auto size = static_cast<uint64_t>(::archive_entry_size(entry));
      sizes_[name] = size;
      if (size > 0 && size <= kLargestDocument) TRY(keep_document(reader.get(), name, size));
    }
    if (::archive_read_data_skip(reader.get()) < ARCHIVE_WARN) return archive_failure(reader.get());
  }
  return {};
}

Result<void> ArchiveSource::read_files(const std::set<std::string>& paths, const Take& take) const {
  std::map<std::string, std::string> left;  // member -> the path that was asked for
  for (const std::string& path : paths) left[resolved(path)] = path;
  const Handle reader = TRY(open());
  archive_entry* entry = nullptr;
  while (!left.empty() && TRY(next(reader.get(), &entry))) {
    if (::archive_entry_filetype(entry) != AE_IFREG) continue;
    const auto wanted = left.find(normalized(::archive_entry_pathname(entry)));
    if (wanted == left.end()) continue;
    TRY(take(wanted->second, [&](std::span<char> into) -> Result<size_t> {
      const la_ssize_t got = ::archive_read_data(reader.get(), into.data(), into.size());
      if (got < 0) return archive_failure(reader.get());
      return static_cast<size_t>(got);
    }));
    left.erase(wanted);
  }
  if (left.empty()) return {};
  return failure(fmt::format("'{}' is missing in archive '{}'", left.begin()->second, path_));
}

}  // namespace

Result<std::unique_ptr<ImageSource>> open_archive_source(const std::string& path) {
  auto source = std::make_unique<ArchiveSource>(path);
  TRY(source->scan());
  return source;
}

}  // namespace conode::containerd
