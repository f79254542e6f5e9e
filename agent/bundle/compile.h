// SPDX-License-Identifier: Apache-2.0
// The compilers behind `conode bundle build`: go for the recipe's modules, cc for the pause
// program. Any thread; blocks.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/bundle/recipe.h"

namespace conode::bundle {

struct Toolchain {
  std::string go;          // path
  std::string go_version;  // "go1.26.8"
  std::string cc;          // path; empty where there is none
};

// Finds go (PATH, /usr/local/go/bin) and cc ($CC, cc, gcc). Fails where go is missing or too old.
[[nodiscard]] Result<Toolchain> find_toolchain(const Recipe& recipe);

// What the programs with C in them need beside go; names all that is missing at once.
[[nodiscard]] Result<void> check_c_toolchain(const Toolchain& toolchain);

using LineCallback = std::function<void(std::string_view)>;

// All programs of one component into `directory`. On failure go's whole output is in `log`.
[[nodiscard]] Result<void> compile_component(const Toolchain& toolchain, const Recipe& recipe,
                                             const RecipeComponent& component,
                                             const std::string& directory, const std::string& log,
                                             const LineCallback& on_line);

// pause/pause.c as the image kPauseImage in `archive`.
[[nodiscard]] Result<void> make_pause_image(const Toolchain& toolchain, const Recipe& recipe,
                                            const std::string& archive);

}  // namespace conode::bundle
