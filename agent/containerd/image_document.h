// SPDX-License-Identifier: Apache-2.0
// Private to this folder: reading the JSON of images without exceptions. What is absent, or of
// another type, reads as empty.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "agent/containerd/content_store.h"
#include "agent/containerd/image_source.h"

namespace conode::containerd {

using nlohmann::json;

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
};

// `path` must be there and an object or array.
[[nodiscard]] Result<json> read_json(const ImageSource& source, const std::string& path);
[[nodiscard]] Result<json> parse_json(const std::string& text, const std::string& path);

[[nodiscard]] std::string text_at(const json& object, const char* key);
[[nodiscard]] const json& object_at(const json& object, const char* key);
[[nodiscard]] const json& array_at(const json& object, const char* key);

// Checks the digest's form and that there is a size.
[[nodiscard]] Result<Descriptor> descriptor_of(const json& object);
// Of a descriptor's "platform" or of an image's configuration.
[[nodiscard]] Platform platform_of(const json& object);
[[nodiscard]] Result<void> check_platform(const Platform& platform,
                                          const std::string& architecture);

// "sha256:<hex>" -> "blobs/sha256/<hex>"
[[nodiscard]] std::string blob_path(const std::string& digest);
[[nodiscard]] bool is_digest(const std::string& text);

}  // namespace conode::containerd
