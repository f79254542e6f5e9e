// SPDX-License-Identifier: Apache-2.0
// A bundle: a read-only directory with the pinned upstream programs and pause.tar, shared by all
// nodes. Nothing here ever writes into one, so it may be on a shared file system and another
// user's. Any thread; blocks on the file system.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/bundle/manifest.h"

namespace conode::bundle {

inline constexpr std::string_view kPauseArchive = "pause.tar";
inline constexpr std::string_view kPauseImage = "registry.k8s.io/pause:3.10";

struct Bundle {
  std::string path;  // absolute
  std::string id;    // SHA-256 of manifest.json: equal ids, equal bundles
  Manifest manifest;

  // Absolute path of one of its programs.
  [[nodiscard]] std::string program(std::string_view name) const {
    return path + "/" + std::string(name);
  }
};

// What a long operation is at; called from the calling thread.
struct Progress {
  std::string_view step;    // "build", "verify", "pack", "unpack"
  std::string_view object;  // component or file
  std::string_view detail;  // what the compiler is at; may be empty
  size_t index = 0;         // of the object, from 0
  size_t count = 0;         // number of objects
};
using ProgressCallback = std::function<void(const Progress&)>;

// The manifest alone; the files are not looked at.
[[nodiscard]] Result<Bundle> open(const std::string& path);

enum class Level {
  fast,  // presence, type, size, executability, architecture: less than 5 ms
  full,  // and the SHA-256 of everything
};

struct Problem {
  std::string file;    // relative to the bundle; empty where it is the bundle as a whole
  std::string cause;   // "is missing"
  std::string remedy;  // "build it again: conode bundle build"
};

// All that is wrong with the files of an opened bundle.
[[nodiscard]] std::vector<Problem> damage(const Bundle& bundle, Level level,
                                          const ProgressCallback& on_progress = {});

// damage, and whether it is for this machine; empty when it can be used here.
[[nodiscard]] std::vector<Problem> problems(const Bundle& bundle, Level level,
                                            const ProgressCallback& on_progress = {});

// open and problems: a bundle that can be used, or the failure that names the first wrong file.
[[nodiscard]] Result<Bundle> verify(const std::string& path, Level level,
                                    const ProgressCallback& on_progress = {});

// `conode bundle info`: components, versions, licences, sizes.
[[nodiscard]] std::string describe(const Bundle& bundle);

}  // namespace conode::bundle
