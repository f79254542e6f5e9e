// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/manifest.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace conode::bundle {
namespace {

using Json = nlohmann::ordered_json;

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

bool stays_inside(std::string_view path) {
  for (;;) {
    const size_t slash = path.find('/');
    if (!is_plain_name(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

// No two entries of one path, and none where another one needs a directory: with this, extracting
// file after file never goes through a link that the archive brought along.
Result<void> check_paths(const Manifest& manifest) {
  std::set<std::string> paths;
  for (const Entry& entry : manifest.entries) {
    if (!stays_inside(entry.path) || entry.path == kManifestName)
      return failure(fmt::format("manifest: path '{}' is not allowed", entry.path));
    if (!entry.link.empty() && !is_plain_name(entry.link))
      return failure(fmt::format("manifest: link '{}' leads to '{}', out of its directory",
                                 entry.path, entry.link));
    if (!paths.insert(entry.path).second)
      return failure(fmt::format("manifest: path '{}' occurs twice", entry.path));
  }
  for (const std::string& path : paths) {
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      if (paths.contains(path.substr(0, slash)))
        return failure(fmt::format("manifest: '{}' is below another file", path));
    }
  }
  return {};
}

Entry entry_from(const Json& json) {
  Entry entry;
  entry.path = json.at("path").get<std::string>();
  if (json.contains("link")) {
    entry.link = json.at("link").get<std::string>();
    return entry;
  }
  entry.size = json.at("size").get<uint64_t>();
  entry.mode =
      static_cast<mode_t>(std::stoul(json.at("mode").get<std::string>(), nullptr, 8)) & 0777U;
  entry.sha256 = json.at("sha256").get<std::string>();
  return entry;
}

Json to_json_object(const Entry& entry) {
  if (!entry.link.empty()) return {{"path", entry.path}, {"link", entry.link}};
  return {{"path", entry.path},
          {"size", entry.size},
          {"mode", fmt::format("{:04o}", entry.mode)},
          {"sha256", entry.sha256}};
}

}  // namespace

std::string cache_key(std::string_view recipe, std::string_view go_version,
                      std::string_view architecture) {
  return fmt::format("{}-{}-{}", recipe.substr(0, 16), go_version, architecture);
}

std::string Manifest::key() const { return cache_key(recipe, go_version, architecture); }

std::string host_architecture() {
  static const std::map<std::string, std::string, std::less<>> names = {
      {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"riscv64", "riscv64"}, {"ppc64le", "ppc64le"}};
  utsname host{};
  (void)::uname(&host);  // fails only for a bad address
  const auto found = names.find(static_cast<const char*>(host.machine));
  return found == names.end() ? static_cast<const char*>(host.machine) : found->second;
}

std::string to_json(const Manifest& manifest) {
  Json components = Json::array();
  for (const Component& component : manifest.components)
    components.push_back({{"name", component.name},
                          {"version", component.version},
                          {"licence", component.licence},
                          {"module", component.module}});
  Json files = Json::array();
  for (const Entry& entry : manifest.entries) files.push_back(to_json_object(entry));
  const Json json = {{"format", kManifestFormat},         {"architecture", manifest.architecture},
                     {"created_by", manifest.created_by}, {"go", manifest.go_version},
                     {"recipe", manifest.recipe},         {"components", std::move(components)},
                     {"files", std::move(files)}};
  return json.dump(2) + "\n";
}

Result<Manifest> manifest_from_json(std::string_view text) {
  Manifest manifest;
  try {
    const Json json = Json::parse(text);
    const int format = json.at("format").get<int>();
    if (format != kManifestFormat)
      return failure(
          fmt::format("manifest: format {} is not known, only {}", format, kManifestFormat),
          "use the conode that made the bundle, or build a new one");
    manifest.architecture = json.at("architecture").get<std::string>();
    manifest.created_by = json.at("created_by").get<std::string>();
    manifest.go_version = json.at("go").get<std::string>();
    manifest.recipe = json.at("recipe").get<std::string>();
    for (const Json& component : json.at("components"))
      manifest.components.push_back({.name = component.at("name").get<std::string>(),
                                     .version = component.at("version").get<std::string>(),
                                     .licence = component.at("licence").get<std::string>(),
                                     .module = component.at("module").get<std::string>()});
    for (const Json& file : json.at("files")) manifest.entries.push_back(entry_from(file));
  } catch (const std::exception& e) {  // nlohmann-json and stoul report by exception
    return failure(fmt::format("manifest: {}", e.what()));
  }
  std::sort(manifest.entries.begin(), manifest.entries.end(),
            [](const Entry& a, const Entry& b) { return a.path < b.path; });
  // The key names a directory of the cache.
  if (!is_plain_name(manifest.key())) return failure("manifest: 'recipe' or 'go' is not a name");
  TRY(check_paths(manifest));
  return manifest;
}

}  // namespace conode::bundle
