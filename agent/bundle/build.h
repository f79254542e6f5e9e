// SPDX-License-Identifier: Apache-2.0
// `conode bundle build`, and where its result is kept. Any thread; blocks, for minutes where the
// cache is cold.
//
// Two processes may build at once: the second one waits for the first one's result. A build that is
// interrupted leaves a hidden directory in the cache, which the next one removes.
#pragma once

#include <string>

#include "agent/base/result.h"
#include "agent/bundle/bundle.h"

namespace conode::bundle {

// $XDG_CACHE_HOME/conode/bundles, or ~/.cache/conode/bundles.
[[nodiscard]] Result<std::string> cache_dir();

// The directory to use where the user named none: the installed program's ../lib/conode/bundle,
// else the one in the cache that has this recipe and architecture (the newest Go's). Needs no Go.
// The failure says how to get a bundle.
[[nodiscard]] Result<std::string> find();

struct BuildOptions {
  std::string recipe_dir;  // empty: recipe_dir()
  std::string cache_dir;   // empty: cache_dir()
};

struct BuildResult {
  Bundle bundle;
  bool cached = false;  // nothing had to be done
};

// The bundle of this recipe, Go and architecture: from the cache, where it is undamaged (fast
// level), else built with `go`, `cc` and libseccomp. What is missing is named before anything is
// compiled.
[[nodiscard]] Result<BuildResult> build(const BuildOptions& options = {},
                                        const ProgressCallback& on_progress = {});

}  // namespace conode::bundle
