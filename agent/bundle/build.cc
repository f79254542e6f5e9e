// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/build.h"

#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/bundle/compile.h"
#include "agent/bundle/digest.h"
#include "agent/bundle/partial_dir.h"
#include "agent/bundle/recipe.h"

namespace conode::bundle {
namespace {

// Held until the descriptor is closed; no lock where the file system has none.
UniqueFd lock_file(const std::string& path) {
  Result<UniqueFd> fd = open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!fd) return {};
  while (::flock(fd->get(), LOCK_EX) != 0) {
    if (errno != EINTR) return {};
  }
  return std::move(*fd);
}

std::optional<Bundle> undamaged(const std::string& path) {
  Result<Bundle> bundle = open(path);
  if (!bundle || !problems(*bundle, Level::fast).empty()) return std::nullopt;
  return std::move(*bundle);
}

Result<Entry> entry_of(const std::string& directory, const std::string& path) {
  const std::string file = directory + "/" + path;
  const UniqueFd fd = TRY(open_at(AT_FDCWD, file, O_RDONLY | O_NOFOLLOW));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return errno_failure(fmt::format("stat '{}'", file));
  Entry entry{
      .path = path, .mode = (st.st_mode & 0100U) != 0 ? 0755U : 0644U, .sha256 = {}, .link = {}};
  entry.size = static_cast<uint64_t>(st.st_size);
  if (::fchmod(fd.get(), entry.mode) != 0)  // whatever the umask was
    return errno_failure(fmt::format("set mode of '{}'", file));
  entry.sha256 = TRY(sha256_of_fd(fd.get(), file));
  return entry;
}

Result<Manifest> manifest_of(const Recipe& recipe, const Toolchain& toolchain,
                             const std::string& directory) {
  Manifest manifest{.architecture = host_architecture(),
                    .created_by = "conode " CONODE_VERSION,
                    .go_version = toolchain.go_version,
                    .recipe = recipe.digest,
                    .components = {},
                    .entries = {}};
  manifest.components.push_back({"pause", CONODE_VERSION, "Apache-2.0", ""});
  manifest.entries.push_back(TRY(entry_of(directory, std::string(kPauseArchive))));
  for (const RecipeComponent& component : recipe.components) {
    manifest.components.push_back(component.component);
    for (const auto& [path, package] : component.programs)
      manifest.entries.push_back(TRY(entry_of(directory, path)));
    for (const auto& [path, command] : component.generated)
      manifest.entries.push_back(TRY(entry_of(directory, path)));
    for (const auto& [path, target] : component.links)
      manifest.entries.push_back({.path = path, .sha256 = {}, .link = target});
  }
  std::sort(manifest.entries.begin(), manifest.entries.end(),
            [](const Entry& a, const Entry& b) { return a.path < b.path; });
  return manifest;
}

Result<void> fill(const Recipe& recipe, const Toolchain& toolchain, const std::string& directory,
                  const std::string& log, const ProgressCallback& on_progress) {
  const size_t count = recipe.components.size() + 1;
  size_t index = 0;
  const auto report = [&](std::string_view object, std::string_view detail) {
    if (on_progress) on_progress({"build", object, detail, index, count});
  };
  report("pause", {});
  TRY(make_pause_image(toolchain, recipe, directory + "/" + std::string(kPauseArchive)));
  for (const RecipeComponent& component : recipe.components) {
    ++index;
    const std::string& name = component.component.name;
    report(name, {});
    TRY(compile_component(toolchain, recipe, component, directory, log,
                          [&](std::string_view line) { report(name, line); }));
  }
  const Manifest manifest = TRY(manifest_of(recipe, toolchain, directory));
  return replace_file(directory + "/" + std::string(kManifestName), to_json(manifest), 0644);
}

Result<BuildResult> build_at(const std::string& target, const Recipe& recipe,
                             const Toolchain& toolchain, const ProgressCallback& on_progress) {
  TRY(check_c_toolchain(toolchain));
  TRY(make_dirs(std::filesystem::path(target).parent_path().string(), 0755));
  const UniqueFd lock = lock_file(target + ".lock");
  if (auto bundle = undamaged(target)) return BuildResult{std::move(*bundle), true};
  TRY(remove_tree(target));
  if (lock) TRY(PartialDir::remove_stale(target));
  PartialDir partial = TRY(PartialDir::create(target));
  TRY(fill(recipe, toolchain, partial.path(), target + ".log", on_progress));
  TRY(partial.commit());
  return BuildResult{TRY(verify(target, Level::fast)), false};
}

}  // namespace

Result<std::string> cache_dir() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fmt::format("{}/conode/bundles", cache);
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return fmt::format("{}/.cache/conode/bundles", home);
  return failure("find the bundle cache: neither XDG_CACHE_HOME nor HOME is set",
                 "set XDG_CACHE_HOME, or name a bundle");
}

Result<std::string> find() {
  const std::filesystem::path program = own_program().value_or("");
  const std::string manifest = "/" + std::string(kManifestName);
  std::string installed = (program.parent_path().parent_path() / "lib/conode/bundle").string();
  if (exists(installed + manifest)) return installed;

  const std::string recipe_path = TRY(recipe_dir());
  const Recipe recipe = TRY(read_recipe(recipe_path));
  const std::string cache = TRY(cache_dir());
  const std::string prefix = cache_key(recipe.digest, "", "");
  const std::string start = prefix.substr(0, prefix.size() - 1);
  const std::string end = "-" + host_architecture();
  std::string best;
  std::string best_go;
  for (const std::string& name : list_dir(cache).value_or(std::vector<std::string>{})) {
    if (!name.starts_with(start) || !name.ends_with(end) ||
        !exists(fmt::format("{}/{}{}", cache, name, manifest)))
      continue;
    const std::string go = name.substr(start.size(), name.size() - start.size() - end.size());
    if (!best.empty() && go_is_at_least(best_go, go.substr(2))) continue;
    best = fmt::format("{}/{}", cache, name);
    best_go = go;
  }
  if (!best.empty()) return best;
  return failure(fmt::format("find a bundle for {}: none in '{}'", host_architecture(), cache),
                 "make one with 'conode bundle build', unpack an archive with 'conode bundle "
                 "unpack', or name one");
}

Result<BuildResult> build(const BuildOptions& options, const ProgressCallback& on_progress) {
  const std::string recipe_path =
      options.recipe_dir.empty() ? TRY(recipe_dir()) : options.recipe_dir;
  const std::string cache = options.cache_dir.empty() ? TRY(cache_dir()) : options.cache_dir;
  const Recipe recipe = TRY(read_recipe(recipe_path));
  const Toolchain toolchain = TRY_AS("build bundle", find_toolchain(recipe));
  const std::string target =
      cache + "/" + cache_key(recipe.digest, toolchain.go_version, host_architecture());
  if (auto bundle = undamaged(target)) return BuildResult{std::move(*bundle), true};
  return TRY_AS("build bundle", build_at(target, recipe, toolchain, on_progress));
}

}  // namespace conode::bundle
