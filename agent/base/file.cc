// SPDX-License-Identifier: Apache-2.0
#include "agent/base/file.h"

#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

namespace conode {
namespace {

struct CloseDir {
  void operator()(DIR* d) const { ::closedir(d); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

Result<DirStream> open_dir_stream(const std::string& path, int dir) {
  UniqueFd fd = TRY(open_at(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  DirStream stream(::fdopendir(fd.get()));
  if (!stream) return errno_failure(fmt::format("open directory '{}'", path));
  (void)fd.release();  // the stream owns it now
  return stream;
}

Result<std::vector<std::string>> names_in(DIR* stream, const std::string& path) {
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream);  // NOLINT(concurrency-mt-unsafe): own stream
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return errno_failure(fmt::format("read directory '{}'", path));
  return names;
}

Result<void> remove_entry(int dir, const std::string& name, dev_t device) {
  struct stat st {};
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return errno_failure(fmt::format("stat '{}'", name));
  }
  if (!S_ISDIR(st.st_mode)) {
    if (::unlinkat(dir, name.c_str(), 0) != 0 && errno != ENOENT)
      return errno_failure(fmt::format("remove '{}'", name));
    return {};
  }
  if (st.st_dev != device)
    return failure(fmt::format("remove '{}': another file system is mounted there", name));
  // A directory of our own that lost its search bit can still be emptied.
  if ((st.st_mode & S_IRWXU) != S_IRWXU) (void)::fchmodat(dir, name.c_str(), 0700, 0);
  const DirStream stream = TRY(open_dir_stream(name, dir));
  for (const std::string& child : TRY(names_in(stream.get(), name)))
    TRY_AS(fmt::format("in '{}'", name), remove_entry(::dirfd(stream.get()), child, device));
  if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    return errno_failure(fmt::format("remove directory '{}'", name));
  return {};
}

}  // namespace

Result<UniqueFd> open_at(int dir, const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(::openat(dir, path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return errno_failure(fmt::format("open '{}'", path));
  return fd;
}

Result<std::string> read_file(const std::string& path, int dir, size_t limit) {
  const UniqueFd fd = TRY(open_at(dir, path, O_RDONLY));
  std::string content;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_failure(fmt::format("read '{}'", path));
    if (n == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(n));
    if (content.size() > limit)
      return code_failure(EFBIG, fmt::format("read '{}' (more than {} bytes)", path, limit));
  }
}

Result<std::optional<std::string>> read_file_if_exists(const std::string& path, int dir) {
  Result<std::string> content = read_file(path, dir);
  if (content) return std::optional<std::string>(std::move(*content));
  if (content.error().is(std::errc::no_such_file_or_directory)) return std::nullopt;
  return tl::make_unexpected(std::move(content).error());
}

Result<void> write_all(int fd, std::string_view data, std::string_view what) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_failure(fmt::format("write '{}'", what));
    data.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<void> write_value(const std::string& path, std::string_view value, int dir) {
  const UniqueFd fd = TRY(open_at(dir, path, O_WRONLY | O_NOFOLLOW));
  if (::write(fd.get(), value.data(), value.size()) < 0)
    return errno_failure(fmt::format("write '{}' to '{}'", value, path));
  return {};
}

Result<void> replace_file(const std::string& path, std::string_view content, mode_t mode, int dir) {
  const std::string temporary = path + ".new";
  if (::unlinkat(dir, temporary.c_str(), 0) != 0 && errno != ENOENT)
    return errno_failure(fmt::format("remove '{}'", temporary));
  {
    const UniqueFd fd =
        TRY(open_at(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
    if (::fchmod(fd.get(), mode) != 0)  // whatever the umask says
      return errno_failure(fmt::format("set mode of '{}'", temporary));
    TRY(write_all(fd.get(), content, temporary));
  }
  if (::renameat(dir, temporary.c_str(), dir, path.c_str()) != 0)
    return errno_failure(fmt::format("rename '{}' to '{}'", temporary, path));
  return {};
}

Result<bool> make_dir(const std::string& path, mode_t mode, int dir) {
  if (::mkdirat(dir, path.c_str(), mode) == 0) return true;
  if (errno != EEXIST) return errno_failure(fmt::format("create directory '{}'", path));
  struct stat st {};
  if (::fstatat(dir, path.c_str(), &st, 0) != 0)
    return errno_failure(fmt::format("stat '{}'", path));
  if (!S_ISDIR(st.st_mode)) return code_failure(ENOTDIR, fmt::format("create '{}'", path));
  return false;
}

Result<void> make_dirs(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (!exists(parent)) TRY(make_dir(parent, mode));
  }
  TRY(make_dir(path, mode));
  return {};
}

bool exists(const std::string& path, int dir) {
  return ::faccessat(dir, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<std::vector<std::string>> list_dir(const std::string& path, int dir) {
  UniqueFd fd = TRY(open_at(dir, path, O_RDONLY | O_DIRECTORY));
  const DirStream stream(::fdopendir(fd.get()));
  if (!stream) return errno_failure(fmt::format("open directory '{}'", path));
  (void)fd.release();
  std::vector<std::string> names = TRY(names_in(stream.get(), path));
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> remove_tree(const std::string& path, int dir) {
  struct stat st {};
  if (::fstatat(dir, path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return errno_failure(fmt::format("stat '{}'", path));
  }
  return remove_entry(dir, path, st.st_dev);
}

}  // namespace conode
