// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cgroup.h"

#include <dirent.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "agent/base/file.h"
#include "cgroup/signal_kill.h"

namespace conode {
namespace {

// The directory went while we looked: ENOENT at open, ENODEV at read or write.
bool is_gone(const Error& error) {
  return error.is(std::errc::no_such_file_or_directory) || error.is(std::errc::no_such_device);
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

Result<std::vector<pid_t>> ids_of(const std::string& text) {
  std::vector<pid_t> ids;
  for (const std::string& word : words_of(text))
    ids.push_back(static_cast<pid_t>(TRY(parse_value<uint64_t>(word))));
  return ids;
}

struct CloseDir {
  void operator()(DIR* d) const { ::closedir(d); }
};

// Kernfs fills d_type, so that the ~80 interface files of a cgroup cost no stat(2).
Result<std::vector<std::string>> directories_in(int dir) {
  UniqueFd fd = TRY(open_at(dir, ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, CloseDir> stream(::fdopendir(fd.get()));
  if (!stream) return errno_failure("open directory");
  (void)fd.release();  // the stream owns it now
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());  // NOLINT(concurrency-mt-unsafe): own stream
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return errno_failure("read directory");
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> remove_directory(int parent, const std::string& name, const std::string& path) {
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  Failure failed = errno_failure(fmt::format("remove cgroup '{}'", path));
  if (failed.value().is(std::errc::device_or_resource_busy))
    return Failure(std::move(failed.value())
                       .with_remedy(fmt::format("end the processes in '{}/cgroup.procs'", path)));
  return failed;
}

Result<void> remove_below(int dir, const std::string& path) {
  const Result<std::vector<std::string>> names = directories_in(dir);
  if (!names && is_gone(names.error())) return {};
  if (!names) return Failure(Error(names.error()).wrap(fmt::format("remove cgroup '{}'", path)));
  for (const std::string& name : *names) {
    const std::string child_path = path + "/" + name;
    const Result<UniqueFd> child = open_at(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (child) TRY(remove_below(child->get(), child_path));
    TRY(remove_directory(dir, name, child_path));
  }
  return {};
}

std::string remedy_for_attach(const Error& error, const std::string& path) {
  if (error.is(std::errc::permission_denied) || error.is(std::errc::no_such_file_or_directory))
    return "a move needs write permission on cgroup.procs of the directory that both ends share: "
           "start inside of the delegated directory";
  if (error.is(std::errc::device_or_resource_busy))
    return fmt::format("'{}' has controllers enabled for its children: use one of them", path);
  if (error.is(std::errc::operation_not_supported))
    return fmt::format("'{}' is part of a threaded or invalid sub-tree: see its cgroup.type", path);
  return {};
}

}  // namespace

std::string Cgroup::describe(std::string_view what) const {
  return fmt::format("cgroup '{}': {}", path_, what);
}

Result<Cgroup> Cgroup::open(const std::string& path) {
  UniqueFd fd = TRY_AS("open cgroup", open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY));
  return Cgroup(path, std::move(fd));
}

Result<bool> Cgroup::create(const std::string& name) const {
  return TRY_AS(describe(fmt::format("create '{}'", name)), make_dir(name, 0755, fd_.get()));
}

Result<Cgroup> Cgroup::open_child(const std::string& name) const {
  UniqueFd fd =
      TRY_AS(describe("open child"), open_at(fd_.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  return Cgroup(path_ + "/" + name, std::move(fd));
}

Result<std::vector<std::string>> Cgroup::children() const {
  return TRY_AS(describe("list children"), directories_in(fd_.get()));
}

Result<void> Cgroup::attach(pid_t pid) const {
  Result<void> moved = write_value("cgroup.procs", std::to_string(pid), fd_.get());
  if (moved) return {};
  const std::string remedy = remedy_for_attach(moved.error(), path_);
  return Failure(std::move(moved.error()).wrap(describe("attach a process")).with_remedy(remedy));
}

Result<std::vector<pid_t>> Cgroup::processes() const {
  return TRY_AS(describe("list processes"), ids_of(TRY(read("cgroup.procs"))));
}

Result<std::vector<pid_t>> Cgroup::threads() const {
  return TRY_AS(describe("list threads"), ids_of(TRY(read("cgroup.threads"))));
}

Result<std::vector<pid_t>> Cgroup::subtree_processes() const {
  std::vector<pid_t> all;
  const auto add = [&](const Result<std::vector<pid_t>>& some) -> Result<void> {
    if (some)
      all.insert(all.end(), some->begin(), some->end());
    else if (!is_gone(some.error()))
      return Failure(Error(some.error()));
    return {};
  };
  TRY(add(processes()));
  const Result<std::vector<std::string>> names = children();
  if (!names && !is_gone(names.error())) return Failure(Error(names.error()));
  for (const std::string& name : names.value_or(std::vector<std::string>{}))
    if (const Result<Cgroup> child = open_child(name)) TRY(add(child->subtree_processes()));
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

Result<void> Cgroup::kill() const {
  Result<void> killed = write_value("cgroup.kill", "1", fd_.get());
  if (killed || killed.error().is(std::errc::no_such_device)) return {};
  // Absent: a kernel before 5.14, or the directory has gone.
  if (killed.error().is(std::errc::no_such_file_or_directory))
    return exists("cgroup.procs", fd_.get()) ? kill_by_signal(*this) : Result<void>{};
  return Failure(std::move(killed.error()).wrap(describe("kill")));
}

Result<void> Cgroup::freeze(std::chrono::milliseconds timeout) const {
  TRY(write("cgroup.freeze", "1"));
  if (TRY(wait_for("frozen", 1, timeout))) return {};
  return failure(describe(fmt::format("freeze: not frozen after {} ms", timeout.count())));
}

Result<void> Cgroup::thaw() const { return write("cgroup.freeze", "0"); }

Result<bool> Cgroup::populated() const {
  const FlatKeyed events = TRY(read(value::kEvents));
  const auto found = events.find("populated");
  return found != events.end() && found->second != 0;
}

Result<bool> Cgroup::wait_empty(std::chrono::milliseconds timeout) const {
  return wait_for("populated", 0, timeout);
}

Result<UniqueFd> Cgroup::events_fd() const {
  return TRY_AS(describe("watch"), open_at(fd_.get(), "cgroup.events", O_RDONLY));
}

Result<bool> Cgroup::wait_for(const std::string& key, uint64_t wanted,
                              std::chrono::milliseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  Result<UniqueFd> fd = events_fd();
  if (!fd && is_gone(fd.error())) return true;  // nobody is in what does not exist
  if (!fd) return Failure(std::move(fd.error()));
  for (;;) {
    std::array<char, 256> buffer{};
    const ssize_t n = ::pread(fd->get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == ENODEV) return true;
    if (n < 0) return errno_failure(describe("read 'cgroup.events'"));
    const FlatKeyed events = TRY_AS(
        describe("cgroup.events"), parse_value<FlatKeyed>({buffer.data(), static_cast<size_t>(n)}));
    if (const auto found = events.find(key); found != events.end() && found->second == wanted)
      return true;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd poll_fd{fd->get(), POLLPRI, 0};
    if (::poll(&poll_fd, 1, static_cast<int>(left.count())) < 0 && errno != EINTR)
      return errno_failure(describe("poll 'cgroup.events'"));
  }
}

Result<void> Cgroup::remove() const {
  TRY(remove_below(fd_.get(), path_));
  const Result<UniqueFd> parent = open_at(fd_.get(), "..", O_PATH | O_DIRECTORY);
  if (!parent) return {};  // gone with its parent
  const std::string name = path_.substr(path_.rfind('/') + 1);
  struct stat ours {};
  struct stat there {};
  if (::fstat(fd_.get(), &ours) != 0) return errno_failure(describe("stat"));
  if (::fstatat(parent->get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0) return {};
  if (ours.st_ino != there.st_ino) return {};  // ours is gone; this is another of the same name
  return remove_directory(parent->get(), name, path_);
}

Result<std::vector<std::string>> Cgroup::controllers() const {
  return words_of(TRY(read("cgroup.controllers")));
}

Result<std::vector<std::string>> Cgroup::enabled() const {
  return words_of(TRY(read("cgroup.subtree_control")));
}

Result<EnabledControllers> Cgroup::enable(const std::vector<std::string>& names) const {
  return switch_controllers('+', names);
}

Result<EnabledControllers> Cgroup::disable(const std::vector<std::string>& names) const {
  return switch_controllers('-', names);
}

Result<EnabledControllers> Cgroup::switch_controllers(char sign,
                                                      const std::vector<std::string>& names) const {
  const UniqueFd fd = TRY_AS(describe("switch controllers"),
                             open_at(fd_.get(), "cgroup.subtree_control", O_WRONLY | O_NOFOLLOW));
  EnabledControllers result;
  for (const std::string& name : names) {
    const std::string word = sign + name;
    if (::write(fd.get(), word.data(), word.size()) >= 0)
      result.took.push_back(name);
    else
      result.refused.push_back(
          errno_failure(describe(fmt::format("write '{}' to 'cgroup.subtree_control'", word)))
              .value());
  }
  return result;
}

Result<std::optional<Pressure>> Cgroup::pressure(PressureResource resource) const {
  const std::string file = pressure_file(resource);
  Result<std::string> text = read(file);
  if (!text && (text.error().is(std::errc::no_such_file_or_directory) ||
                text.error().is(std::errc::operation_not_supported)))
    return std::nullopt;
  if (!text) return Failure(std::move(text.error()));
  return std::optional(TRY_AS(describe(file), parse_pressure(*text)));
}

Result<std::string> Cgroup::read(const std::string& file) const {
  return TRY_AS(fmt::format("cgroup '{}'", path_), read_file(file, fd_.get()));
}

Result<void> Cgroup::write(const std::string& file, std::string_view text) const {
  TRY_AS(fmt::format("cgroup '{}'", path_), write_value(file, text, fd_.get()));
  return {};
}

}  // namespace conode
