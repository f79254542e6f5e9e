// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/recipe.h"

#include <fmt/format.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/bundle/digest.h"

namespace conode::bundle {
namespace {

using Json = nlohmann::json;

Result<void> digest_tree(const std::string& path, const std::string& name, Sha256& digest) {
  for (const std::string& entry : TRY(list_dir(path))) {
    const std::string below = fmt::format("{}/{}", path, entry);
    const std::string below_name = name.empty() ? entry : fmt::format("{}/{}", name, entry);
    std::error_code ignored;
    if (std::filesystem::is_directory(below, ignored)) {
      TRY(digest_tree(below, below_name, digest));
      continue;
    }
    const std::string content = TRY(read_file(below));
    digest.update(fmt::format("{} {}\n", below_name, content.size()));
    digest.update(content);
  }
  return {};
}

RecipeComponent component_from(const Json& json) {
  RecipeComponent made;
  made.component = {.name = json.at("name"),
                    .version = json.at("version"),
                    .licence = json.at("licence"),
                    .module = json.at("module")};
  made.directory = json.value("directory", made.component.name);
  made.cgo = json.value("cgo", false);
  made.flags = json.value("flags", std::vector<std::string>{});
  made.tags = json.value("tags", "");
  made.ldflags = json.value("ldflags", "");
  made.programs = json.at("programs").get<std::map<std::string, std::string>>();
  made.links = json.value("links", std::map<std::string, std::string>{});
  made.generated = json.value("generated", std::map<std::string, std::vector<std::string>>{});
  return made;
}

// "1.26.8" -> {1, 26, 8}; what follows a number ("rc1") is left out.
std::array<int, 3> version_numbers(std::string_view version) {
  std::array<int, 3> numbers{};
  std::istringstream stream{std::string(version)};
  for (int& number : numbers) {
    if (!(stream >> number)) number = 0;
    stream.clear();
    stream.ignore(1, '.');
  }
  return numbers;
}

}  // namespace

Result<Recipe> read_recipe(const std::string& path) {
  Recipe recipe;
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), &resolved[0]) == nullptr)
    return errno_failure(fmt::format("find recipe '{}'", path));
  recipe.path = &resolved[0];
  const auto outer = [&path] { return fmt::format("recipe '{}'", path); };
  const std::string text = TRY_AS(outer(), read_file(recipe.path + "/recipe.json"));
  try {
    const Json json = Json::parse(text);
    recipe.minimum_go = json.at("go");
    for (const Json& component : json.at("components"))
      recipe.components.push_back(component_from(component));
  } catch (const std::exception& e) {  // nlohmann-json reports by exception
    return failure(fmt::format("{}: recipe.json: {}", outer(), e.what()));
  }
  Sha256 digest;
  TRY_AS(outer(), digest_tree(recipe.path, "", digest));
  recipe.digest = digest.hex();
  return recipe;
}

Result<std::string> recipe_dir() {
  const char* named = std::getenv("CONODE_RECIPE");
  if (named != nullptr && *named != '\0') return std::string(named);
  const std::filesystem::path program = own_program().value_or("");
  const std::string installed =
      (program.parent_path().parent_path() / "share/conode/recipe").string();
  for (const std::string& path : {installed, std::string(CONODE_RECIPE_SOURCE)}) {
    if (exists(path + "/recipe.json")) return path;
  }
  return failure(fmt::format("find the bundle's recipe: neither '{}' nor '{}' is one", installed,
                             CONODE_RECIPE_SOURCE),
                 "set CONODE_RECIPE to agent/bundle/recipe of the source tree");
}

bool go_is_at_least(std::string_view version, std::string_view minimum) {
  if (version.starts_with("devel")) return true;
  if (!version.starts_with("go")) return false;
  return version_numbers(version.substr(2)) >= version_numbers(minimum);
}

}  // namespace conode::bundle
