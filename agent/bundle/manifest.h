// SPDX-License-Identifier: Apache-2.0
// manifest.json: what a bundle consists of. A value; any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace conode::bundle {

inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr int kManifestFormat = 1;

struct Component {
  std::string name;     // "kubernetes"
  std::string version;  // "v1.37.2"
  std::string licence;  // SPDX expression of the program as linked
  std::string module;   // Go module that it is built from; empty for our own
};

// A regular file, or a symbolic link to a file of the same directory.
struct Entry {
  std::string path;    // relative, without "." and ".."
  uint64_t size = 0;   // bytes
  mode_t mode = 0644;  // permission bits
  std::string sha256;  // hexadecimal
  std::string link;    // target of a link; then size, mode and sha256 mean nothing
};

struct Manifest {
  std::string architecture;  // Go's name: "amd64", "arm64"
  std::string created_by;    // "conode 0.1.0"
  std::string go_version;    // "go1.26.8"
  std::string recipe;        // digest of the recipe it was built from
  std::vector<Component> components;
  std::vector<Entry> entries;  // sorted by path; the manifest itself is not among them

  // Name of the bundle's directory in the cache: recipe, Go version and architecture.
  [[nodiscard]] std::string key() const;
};

[[nodiscard]] std::string cache_key(std::string_view recipe, std::string_view go_version,
                                    std::string_view architecture);

// Go's name of the architecture that this program runs on.
[[nodiscard]] std::string host_architecture();

// Deterministic: the same manifest, the same bytes.
[[nodiscard]] std::string to_json(const Manifest& manifest);

// Refuses what is no manifest, another format, and paths or links that lead out of the directory.
[[nodiscard]] Result<Manifest> manifest_from_json(std::string_view text);

}  // namespace conode::bundle
