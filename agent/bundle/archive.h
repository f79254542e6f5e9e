// SPDX-License-Identifier: Apache-2.0
// A bundle as one file: a tar archive with the manifest first. Any thread; blocks.
#pragma once

#include <string>

#include "agent/base/result.h"
#include "agent/bundle/bundle.h"

namespace conode::bundle {

// Writes the verified (full) bundle to `archive`, all or nothing; an existing file is replaced.
// Compression by name: .tar, .tar.gz or .tgz, else zstd. Deterministic. Another architecture's
// bundle can be packed.
[[nodiscard]] Result<void> pack(const std::string& bundle_path, const std::string& archive,
                                const ProgressCallback& on_progress = {});

// Extracts an archive to `target`, which must not exist (its parent is made); an empty `target` is
// the bundle's place in the cache, where find() sees it. Works in a temporary directory beside it
// and renames at the end, so `target` is never there in part. Whatever the manifest does not name,
// or names with another size or SHA-256, is refused, and so is any path or link that leads out. A
// target that already holds the same bundle, undamaged, is a success. Another architecture's bundle
// can be unpacked; verify refuses it where it is used.
[[nodiscard]] Result<Bundle> unpack(const std::string& archive, const std::string& target = {},
                                    const ProgressCallback& on_progress = {});

}  // namespace conode::bundle
