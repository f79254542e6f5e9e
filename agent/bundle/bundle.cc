// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/bundle.h"

#include <fmt/format.h>

#include <climits>
#include <cstdlib>
#include <set>

#include "agent/base/file.h"
#include "agent/bundle/digest.h"

namespace conode::bundle {
namespace {

constexpr std::string_view kAgain =
    "build it again with 'conode bundle build', or unpack its archive again";

std::optional<std::string> wrong_link(int dir, const Entry& entry) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(dir, entry.path.c_str(), target.data(), target.size());
  if (size < 0) return errno == EINVAL ? "is no symbolic link" : "cannot be read";
  target.resize(static_cast<size_t>(size));
  if (target == entry.link) return std::nullopt;
  return fmt::format("leads to '{}' instead of '{}'", target, entry.link);
}

std::optional<std::string> wrong_content(int dir, const Entry& entry) {
  const Result<UniqueFd> fd = open_at(dir, entry.path, O_RDONLY | O_NOFOLLOW);
  if (!fd) return fmt::format("cannot be read: {}", fd.error().code.message());
  const Result<std::string> digest = sha256_of_fd(fd->get(), entry.path);
  if (!digest) return fmt::format("cannot be read: {}", digest.error().code.message());
  if (*digest == entry.sha256) return std::nullopt;
  return fmt::format("is damaged: SHA-256 {} instead of {}", *digest, entry.sha256);
}

std::optional<Problem> problem_of(int dir, const Entry& entry, Level level) {
  const auto wrong = [&entry](std::string cause, std::string_view remedy = kAgain) {
    return Problem{entry.path, std::move(cause), std::string(remedy)};
  };
  struct stat st {};
  if (::fstatat(dir, entry.path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return wrong("is missing");
    return wrong(fmt::format("cannot be looked at: {}", std::generic_category().message(errno)));
  }
  if (!entry.link.empty()) {
    if (auto cause = wrong_link(dir, entry)) return wrong(std::move(*cause));
    return std::nullopt;
  }
  if (!S_ISREG(st.st_mode)) return wrong("is no regular file");
  if (static_cast<uint64_t>(st.st_size) != entry.size)
    return wrong(fmt::format("has {} bytes instead of {}", st.st_size, entry.size));
  if (::faccessat(dir, entry.path.c_str(), R_OK, AT_EACCESS) != 0)
    return wrong(fmt::format("is not readable (mode {:04o})", st.st_mode & 07777U),
                 "ask its owner for: chmod -R a+rX on the bundle");
  // A file system that is mounted noexec shows here, too.
  if ((entry.mode & 0111U) != 0 && ::faccessat(dir, entry.path.c_str(), X_OK, AT_EACCESS) != 0)
    return wrong(
        fmt::format("is not executable (mode {:04o}, or mounted with noexec)", st.st_mode & 07777U),
        "put the bundle on a file system that allows programs, with its modes");
  if (level == Level::full) {
    if (auto cause = wrong_content(dir, entry)) return wrong(std::move(*cause));
  }
  return std::nullopt;
}

// What the manifest does not name.
void find_extras(int dir, const std::string& below, const std::set<std::string>& known,
                 std::vector<Problem>& found) {
  const Result<std::vector<std::string>> names = list_dir(below.empty() ? "." : below, dir);
  if (!names) {
    found.push_back({below, names.error().message(), "make the bundle readable: chmod -R a+rX"});
    return;
  }
  for (const std::string& name : *names) {
    const std::string path = below.empty() ? name : fmt::format("{}/{}", below, name);
    if (known.contains(path)) continue;
    if (known.contains(path + "/")) {
      find_extras(dir, path, known, found);
    } else {
      found.push_back({path, "does not belong to the bundle",
                       "remove it, or keep the bundle in a directory of its own"});
    }
  }
}

std::set<std::string> known_paths(const Manifest& manifest) {
  std::set<std::string> known = {std::string(kManifestName)};
  for (const Entry& entry : manifest.entries) {
    known.insert(entry.path);
    for (size_t slash = entry.path.find('/'); slash != std::string::npos;
         slash = entry.path.find('/', slash + 1))
      known.insert(entry.path.substr(0, slash + 1));
  }
  return known;
}

}  // namespace

Result<Bundle> open(const std::string& path) {
  const auto outer = [&path] { return fmt::format("open bundle '{}'", path); };
  const auto remedy = "make one with 'conode bundle build', or unpack an archive of one";
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), &resolved[0]) == nullptr)
    return tl::make_unexpected(
        std::move(errno_failure("find the directory").value()).wrap(outer()).with_remedy(remedy));
  Bundle bundle{.path = &resolved[0], .id = {}, .manifest = {}};
  Result<std::string> text = read_file(bundle.path + "/" + std::string(kManifestName));
  if (!text) return tl::make_unexpected(std::move(text).error().wrap(outer()).with_remedy(remedy));
  bundle.id = sha256(*text);
  Result<Manifest> manifest = manifest_from_json(*text);
  if (!manifest) {
    Error error = std::move(manifest).error().wrap(outer());
    if (error.remedy.empty()) error.remedy = kAgain;
    return tl::make_unexpected(std::move(error));
  }
  bundle.manifest = std::move(*manifest);
  return bundle;
}

std::vector<Problem> damage(const Bundle& bundle, Level level,
                            const ProgressCallback& on_progress) {
  std::vector<Problem> found;
  const Result<UniqueFd> dir = open_at(AT_FDCWD, bundle.path, O_PATH | O_DIRECTORY);
  if (!dir) {
    found.push_back({"", dir.error().message(), std::string(kAgain)});
    return found;
  }
  size_t index = 0;
  for (const Entry& entry : bundle.manifest.entries) {
    if (on_progress)
      on_progress({.step = "verify",
                   .object = entry.path,
                   .detail = {},
                   .index = index++,
                   .count = bundle.manifest.entries.size()});
    if (auto problem = problem_of(dir->get(), entry, level)) found.push_back(std::move(*problem));
  }
  find_extras(dir->get(), "", known_paths(bundle.manifest), found);
  return found;
}

std::vector<Problem> problems(const Bundle& bundle, Level level,
                              const ProgressCallback& on_progress) {
  const std::string host = host_architecture();
  const std::string& built_for = bundle.manifest.architecture;
  std::vector<Problem> found;
  if (built_for != host)
    found.push_back({"", fmt::format("is for {}, this machine is {}", built_for, host),
                     fmt::format("build one on a machine with {}: conode bundle build", host)});
  for (Problem& problem : damage(bundle, level, on_progress)) found.push_back(std::move(problem));
  return found;
}

Result<Bundle> verify(const std::string& path, Level level, const ProgressCallback& on_progress) {
  Bundle bundle = TRY(open(path));
  const std::vector<Problem> found = problems(bundle, level, on_progress);
  if (found.empty()) return bundle;
  const Problem& first = found.front();
  const std::string object =
      first.file.empty() ? std::string("it") : fmt::format("'{}'", first.file);
  const std::string more =
      found.size() > 1 ? fmt::format(" (and {} more)", found.size() - 1) : std::string();
  return failure(fmt::format("verify bundle '{}': {} {}{}", path, object, first.cause, more),
                 first.remedy);
}

std::string describe(const Bundle& bundle) {
  const Manifest& manifest = bundle.manifest;
  std::string text = fmt::format(
      "path          {}\nid            {}\narchitecture  {}\nmade by       {} with {}\n",
      bundle.path, bundle.id, manifest.architecture, manifest.created_by, manifest.go_version);
  text += "\ncomponent     version    licence\n";
  for (const Component& component : manifest.components)
    text += fmt::format("{:13} {:10} {}\n", component.name, component.version, component.licence);
  uint64_t total = 0;
  text += "\n     bytes  file\n";
  for (const Entry& entry : manifest.entries) {
    if (!entry.link.empty()) continue;
    text += fmt::format("{:10}  {}\n", entry.size, entry.path);
    total += entry.size;
  }
  return text + fmt::format("{:10}  in all\n", total);
}

}  // namespace conode::bundle
