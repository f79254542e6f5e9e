// SPDX-License-Identifier: Apache-2.0
// The pinned recipe of a bundle: a directory with recipe.json and one Go module per component.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/bundle/manifest.h"

namespace conode::bundle {

struct RecipeComponent {
  Component component;
  std::string directory;                        // of its Go module, in the recipe
  bool cgo = false;                             // needs a C compiler
  std::vector<std::string> flags;               // of go build
  std::string tags;                             // comma-separated
  std::string ldflags;                          // beside -s -w
  std::map<std::string, std::string> programs;  // path in the bundle -> package
  std::map<std::string, std::string> links;     // path in the bundle -> target
  // Path in the bundle -> command that writes it, run in the bundle's directory when all before is
  // there.
  std::map<std::string, std::vector<std::string>> generated;
};

struct Recipe {
  std::string path;                         // absolute
  std::string digest;                       // SHA-256 over names and contents of all its files
  std::string minimum_go;                   // "1.26.6"
  std::vector<RecipeComponent> components;  // in the order of the build
};

[[nodiscard]] Result<Recipe> read_recipe(const std::string& path);

// $CONODE_RECIPE, else ../share/conode/recipe of the installed program, else the source tree's.
[[nodiscard]] Result<std::string> recipe_dir();

// "go1.26.8" >= "1.26.6"; a development version ("devel ...") is new enough.
[[nodiscard]] bool go_is_at_least(std::string_view version, std::string_view minimum);

}  // namespace conode::bundle
