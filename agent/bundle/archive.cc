// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <memory>

#include "agent/base/file.h"
#include "agent/bundle/build.h"
#include "agent/bundle/digest.h"
#include "agent/bundle/partial_dir.h"
#include "agent/bundle/tar_writer.h"

namespace conode::bundle {
namespace {

constexpr size_t kManifestLimit = 1U << 20U;
constexpr const char* kCopyAgain = "copy the archive again, or make it again: conode bundle pack";

Compression compression_of(std::string_view name) {
  if (name.ends_with(".tar")) return Compression::none;
  if (name.ends_with(".gz") || name.ends_with(".tgz")) return Compression::gzip;
  return Compression::zstd;
}

Result<void> pack_entry(const Bundle& bundle, const Entry& entry, TarWriter& writer) {
  if (!entry.link.empty())
    return writer.add_symlink({.path = entry.path, .mode = 0777}, entry.link);
  const UniqueFd fd = TRY(open_at(AT_FDCWD, bundle.program(entry.path), O_RDONLY | O_NOFOLLOW));
  return writer.add_file({.path = entry.path, .mode = entry.mode}, fd.get(), entry.size);
}

Result<void> pack_to(const Bundle& bundle, int fd, const std::string& name,
                     const ProgressCallback& on_progress) {
  TarWriter writer = TRY(TarWriter::create(
      compression_of(name), [&](std::string_view data) { return write_all(fd, data, name); }));
  // Its own bytes, so that the bundle's id stays the same.
  const std::string manifest = TRY(read_file(bundle.program(kManifestName)));
  TRY(writer.add_content({.path = std::string(kManifestName)}, manifest));
  size_t index = 0;
  for (const Entry& entry : bundle.manifest.entries) {
    if (on_progress) on_progress({"pack", entry.path, {}, index++, bundle.manifest.entries.size()});
    TRY(pack_entry(bundle, entry, writer));
  }
  return writer.finish();
}

struct FreeReader {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeReader>;

Failure read_failure(archive* reader, std::string_view what) {
  const char* text = ::archive_error_string(reader);
  return failure(fmt::format("read {}: {}", what, text != nullptr ? text : "not an archive"),
                 kCopyAgain);
}

Result<Reader> open_reader(const std::string& path) {
  const UniqueFd readable = TRY(open_at(AT_FDCWD, path, O_RDONLY));  // for errno's sake
  Reader reader(::archive_read_new());
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_filter_zstd(reader.get());
  ::archive_read_support_format_tar(reader.get());
  if (::archive_read_open_filename(reader.get(), path.c_str(), 1U << 18U) != ARCHIVE_OK)
    return read_failure(reader.get(), "the archive");
  return reader;
}

// The next entry, or null at the end.
Result<archive_entry*> next(archive* reader) {
  archive_entry* entry = nullptr;
  const int status = ::archive_read_next_header(reader, &entry);
  if (status == ARCHIVE_EOF) return nullptr;
  if (status != ARCHIVE_OK) return read_failure(reader, "the archive");
  return entry;
}

std::string path_of(archive_entry* entry) {
  const char* path = ::archive_entry_pathname(entry);
  return path != nullptr ? path : "";
}

bool is_plain_file(archive_entry* entry) {
  return ::archive_entry_filetype(entry) == AE_IFREG && ::archive_entry_hardlink(entry) == nullptr;
}

// All data of the current entry, in pieces.
Result<void> read_data(archive* reader, const std::string& name, const Sink& sink) {
  std::vector<char> buffer(1U << 18U);
  for (;;) {
    const la_ssize_t n = ::archive_read_data(reader, buffer.data(), buffer.size());
    if (n < 0) return read_failure(reader, fmt::format("'{}'", name));
    if (n == 0) return {};
    TRY(sink({buffer.data(), static_cast<size_t>(n)}));
  }
}

Result<std::string> read_manifest(archive* reader) {
  archive_entry* entry = TRY(next(reader));
  if (entry == nullptr || path_of(entry) != kManifestName || !is_plain_file(entry))
    return failure(
        fmt::format("'{}' is not the first file: this is no packed bundle", kManifestName),
        "name a file that 'conode bundle pack' made");
  std::string text;
  TRY(read_data(reader, std::string(kManifestName), [&](std::string_view data) -> Result<void> {
    text += data;
    if (text.size() > kManifestLimit) return failure("the manifest is larger than 1 MiB");
    return {};
  }));
  return text;
}

Result<void> extract_file(archive* reader, const Entry& entry, int dir) {
  UniqueFd fd = TRY(open_at(dir, entry.path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  Sha256 digest;
  uint64_t size = 0;
  TRY(read_data(reader, entry.path, [&](std::string_view data) -> Result<void> {
    size += data.size();
    if (size > entry.size) return failure(fmt::format("'{}' is too long", entry.path), kCopyAgain);
    digest.update(data);
    return write_all(fd.get(), data, entry.path);
  }));
  if (size != entry.size)
    return failure(fmt::format("'{}' has {} bytes instead of {}", entry.path, size, entry.size),
                   kCopyAgain);
  if (const std::string found = digest.hex(); found != entry.sha256)
    return failure(
        fmt::format("'{}' is damaged: SHA-256 {} instead of {}", entry.path, found, entry.sha256),
        kCopyAgain);
  if (::fchmod(fd.get(), entry.mode) != 0)
    return errno_failure(fmt::format("set mode of '{}'", entry.path));
  return {};
}

Result<void> make_parents(const std::string& path, int dir) {
  for (size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (TRY(make_dir(parent, 0755, dir)) && ::fchmodat(dir, parent.c_str(), 0755, 0) != 0)
      return errno_failure(fmt::format("set mode of '{}'", parent));
  }
  return {};
}

Result<void> extract(archive* reader, archive_entry* header, const Entry& entry, int dir) {
  TRY(make_parents(entry.path, dir));
  if (entry.link.empty()) {
    if (!is_plain_file(header))
      return failure(fmt::format("'{}' is no regular file in the archive", entry.path), kCopyAgain);
    return extract_file(reader, entry, dir);
  }
  const char* target = ::archive_entry_symlink(header);
  if (target == nullptr || entry.link != target)
    return failure(fmt::format("'{}' is no link to '{}' in the archive", entry.path, entry.link),
                   kCopyAgain);
  if (::symlinkat(target, dir, entry.path.c_str()) != 0)
    return errno_failure(fmt::format("create link '{}'", entry.path));
  return {};
}

Result<void> extract_all(archive* reader, const Manifest& manifest, int dir,
                         const ProgressCallback& on_progress) {
  std::map<std::string, const Entry*> missing;
  for (const Entry& entry : manifest.entries) missing.emplace(entry.path, &entry);
  const size_t count = missing.size();
  while (archive_entry* header = TRY(next(reader))) {
    const std::string path = path_of(header);
    const auto found = missing.find(path);
    if (found == missing.end())
      return failure(fmt::format("'{}' is not in the manifest, or comes twice", path), kCopyAgain);
    if (on_progress) on_progress({"unpack", path, {}, count - missing.size(), count});
    TRY(extract(reader, header, *found->second, dir));
    missing.erase(found);
  }
  if (!missing.empty())
    return failure(fmt::format("'{}' is missing in the archive", missing.begin()->first),
                   kCopyAgain);
  return {};
}

// A target that is there already is fine where it is the same bundle.
Result<Bundle> existing(const std::string& target, const std::string& id) {
  Result<Bundle> bundle = open(target);
  if (bundle && bundle->id == id && damage(*bundle, Level::full).empty()) return bundle;
  return failure(fmt::format("'{}' exists and is not this bundle", target),
                 "remove it, or name another directory");
}

Result<Bundle> unpack_from(archive* reader, const std::string& named_target,
                           const ProgressCallback& on_progress) {
  const std::string text = TRY(read_manifest(reader));
  const Manifest manifest = TRY(manifest_from_json(text));
  const std::string target =
      named_target.empty() ? TRY(cache_dir()) + "/" + manifest.key() : named_target;
  if (exists(target)) return existing(target, sha256(text));
  PartialDir partial = TRY(PartialDir::create(target));
  const UniqueFd dir = TRY(open_at(AT_FDCWD, partial.path(), O_PATH | O_DIRECTORY));
  TRY(extract_all(reader, manifest, dir.get(), on_progress));
  TRY(replace_file(std::string(kManifestName), text, 0644, dir.get()));
  TRY(partial.commit());
  return open(target);
}

}  // namespace

Result<void> pack(const std::string& bundle_path, const std::string& archive,
                  const ProgressCallback& on_progress) {
  const auto outer = [&] { return fmt::format("pack bundle '{}'", bundle_path); };
  const Bundle bundle = TRY_AS(outer(), open(bundle_path));
  if (const auto found = damage(bundle, Level::full, on_progress); !found.empty())
    return failure(fmt::format("{}: '{}' {}", outer(), found[0].file, found[0].cause),
                   found[0].remedy);
  const std::string partial = archive + ".part";
  const UniqueFd fd =
      TRY_AS(outer(), open_at(AT_FDCWD, partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  Result<void> written = pack_to(bundle, fd.get(), archive, on_progress);
  if (written && ::rename(partial.c_str(), archive.c_str()) != 0)
    written = errno_failure(fmt::format("rename to '{}'", archive));
  if (written) return {};
  (void)::unlink(partial.c_str());
  return tl::make_unexpected(std::move(written).error().wrap(outer()));
}

Result<Bundle> unpack(const std::string& archive, const std::string& target,
                      const ProgressCallback& on_progress) {
  const auto outer = [&] { return fmt::format("unpack bundle '{}'", archive); };
  const Reader reader = TRY_AS(outer(), open_reader(archive));
  return TRY_AS(outer(), unpack_from(reader.get(), target, on_progress));
}

}  // namespace conode::bundle
