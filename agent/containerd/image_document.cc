// SPDX-License-Identifier: Apache-2.0
#include "agent/containerd/image_document.h"

#include <fmt/format.h>

#include <algorithm>

namespace conode::containerd {
namespace {

constexpr std::string_view kAlgorithm = "sha256:";
const json kNoObject = json::object();
const json kNoArray = json::array();

const json* member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

}  // namespace

Result<json> parse_json(const std::string& text, const std::string& path) {
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object() || parsed.is_array()) return parsed;
  return failure(fmt::format("'{}' is no valid JSON document", path));
}

Result<json> read_json(const ImageSource& source, const std::string& path) {
  if (!source.size(path)) return failure(fmt::format("'{}' is missing", path));
  return parse_json(TRY(source.document(path)), path);
}

std::string text_at(const json& object, const char* key) {
  const json* found = member(object, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

const json& object_at(const json& object, const char* key) {
  const json* found = member(object, key);
  return found != nullptr && found->is_object() ? *found : kNoObject;
}

const json& array_at(const json& object, const char* key) {
  const json* found = member(object, key);
  return found != nullptr && found->is_array() ? *found : kNoArray;
}

bool is_digest(const std::string& text) {
  return text.size() == kAlgorithm.size() + 64 && text.starts_with(kAlgorithm) &&
         text.find_first_not_of("0123456789abcdef", kAlgorithm.size()) == std::string::npos;
}

std::string blob_path(const std::string& digest) {
  return "blobs/sha256/" + digest.substr(kAlgorithm.size());
}

Result<Descriptor> descriptor_of(const json& object) {
  Descriptor descriptor{text_at(object, "mediaType"), text_at(object, "digest")};
  if (!is_digest(descriptor.digest))
    return failure(fmt::format("'{}' is no sha256 digest", descriptor.digest));
  const json* size = member(object, "size");
  if (size == nullptr || !size->is_number_unsigned())
    return failure(fmt::format("the descriptor of '{}' has no size", descriptor.digest));
  descriptor.size = size->get<uint64_t>();
  return descriptor;
}

Platform platform_of(const json& object) {
  return {text_at(object, "os"), text_at(object, "architecture"), text_at(object, "variant")};
}

Result<void> check_platform(const Platform& platform, const std::string& architecture) {
  if (platform.os == "linux" && platform.architecture == architecture) return {};
  return failure(
      fmt::format("it is for {}/{}, and linux/{} is needed",
                  platform.os.empty() ? "?" : platform.os,
                  platform.architecture.empty() ? "?" : platform.architecture, architecture),
      fmt::format("build or save the image with --platform linux/{}", architecture));
}

}  // namespace conode::containerd
