// SPDX-License-Identifier: Apache-2.0
// index.json -> manifest (or index -> manifest) -> configuration and layers.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/bundle/digest.h"
#include "agent/containerd/image_document.h"
#include "agent/containerd/image_plan.h"

namespace conode::containerd {
namespace {

constexpr int kDeepestIndex = 4;
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr std::array kConfigTypes = {"application/vnd.oci.image.config.v1+json",
                                     "application/vnd.docker.container.image.v1+json"};
constexpr const char* kReferencePrefix = "containerd.io/gc.ref.content.";

struct Walk {
  const ImageSource& source;
  const std::string& architecture;
};

Result<void> check_blob(const Walk& walk, const Descriptor& blob) {
  const std::optional<uint64_t> size = walk.source.size(blob_path(blob.digest));
  if (!size) return failure(fmt::format("'{}' is missing", blob_path(blob.digest)));
  if (*size == blob.size) return {};
  return failure(
      fmt::format("'{}' has {} bytes instead of {}", blob_path(blob.digest), *size, blob.size));
}

// A blob that decides what is imported: its digest is checked here, before it is believed.
Result<std::string> trusted_document(const Walk& walk, const Descriptor& blob) {
  TRY(check_blob(walk, blob));
  std::string text = TRY(walk.source.document(blob_path(blob.digest)));
  if ("sha256:" + sha256(text) == blob.digest) return text;
  return failure(
      fmt::format("'{}' does not have the digest it is named after", blob_path(blob.digest)),
      "the image is damaged: make or copy it again");
}

PlannedBlob document_blob(Descriptor descriptor, std::string content) {
  return {
      .descriptor = std::move(descriptor), .labels = {}, .path = {}, .content = std::move(content)};
}

// Whether a descriptor may be for us: 2 exactly, 1 as a variant, 0 not. One without a platform may
// be.
int fitness(const json& descriptor, const std::string& architecture) {
  const Platform platform = platform_of(object_at(descriptor, "platform"));
  if (platform.architecture.empty() && platform.os.empty()) return 1;
  if (platform.os != "linux" || platform.architecture != architecture) return 0;
  const bool plain = platform.variant.empty() || platform.variant == "v8";  // arm64's only variant
  return plain ? 2 : 1;
}

Result<json> choose(const json& descriptors, const std::string& architecture) {
  const json* best = nullptr;
  std::string offered;
  for (const json& descriptor : descriptors) {
    const Platform platform = platform_of(object_at(descriptor, "platform"));
    if (!platform.os.empty() && platform.os != "unknown")
      offered +=
          fmt::format("{}{}/{}", offered.empty() ? "" : ", ", platform.os, platform.architecture);
    const int fit = fitness(descriptor, architecture);
    if (fit > (best == nullptr ? 0 : fitness(*best, architecture))) best = &descriptor;
  }
  if (best != nullptr) return *best;
  return failure(fmt::format("it is for {}, and linux/{} is needed",
                             offered.empty() ? "no platform" : offered, architecture),
                 fmt::format("build or save the image with --platform linux/{}", architecture));
}

Result<void> plan_manifest(const Walk& walk, const Descriptor& manifest, std::string text,
                           const json& parsed, PlannedImage& image) {
  Labels references;
  const Descriptor config = TRY_AS("configuration", descriptor_of(object_at(parsed, "config")));
  if (std::ranges::find(kConfigTypes, config.media_type) == kConfigTypes.end())
    return failure(fmt::format("it is no container image: its configuration is of type '{}'",
                               config.media_type));
  std::string config_text = TRY(trusted_document(walk, config));
  TRY(check_platform(platform_of(TRY(parse_json(config_text, blob_path(config.digest)))),
                     walk.architecture));
  image.blobs.push_back(document_blob(config, std::move(config_text)));
  references[std::string(kReferencePrefix) + "config"] = config.digest;
  int number = 0;
  for (const json& entry : array_at(parsed, "layers")) {
    const Descriptor layer = TRY_AS("layer", descriptor_of(entry));
    TRY(check_blob(walk, layer));
    image.blobs.push_back(
        {.descriptor = layer, .labels = {}, .path = blob_path(layer.digest), .content = {}});
    references[fmt::format("{}l.{}", kReferencePrefix, number++)] = layer.digest;
  }
  image.blobs.push_back(document_blob(manifest, std::move(text)));
  image.blobs.back().labels = std::move(references);
  return {};
}

// Plans what `target` refers to, then it. Sets its media type where the descriptor had none.
Result<void> plan_target(const Walk& walk, Descriptor& target, PlannedImage& image, int depth) {
  std::string text = TRY(trusted_document(walk, target));
  const json parsed = TRY(parse_json(text, blob_path(target.digest)));
  const bool is_index = parsed.contains("manifests");
  if (target.media_type.empty()) target.media_type = text_at(parsed, "mediaType");
  if (target.media_type.empty()) target.media_type = is_index ? kIndexType : kManifestType;
  if (!is_index) return plan_manifest(walk, target, std::move(text), parsed, image);
  if (depth == kDeepestIndex) return failure("its indexes are nested too deeply");
  const json chosen = TRY(choose(array_at(parsed, "manifests"), walk.architecture));
  Descriptor child = TRY(descriptor_of(chosen));
  TRY(plan_target(walk, child, image, depth + 1));
  image.blobs.push_back(document_blob(target, std::move(text)));
  image.blobs.back().labels[std::string(kReferencePrefix) + "m.0"] = child.digest;
  return {};
}

// containerd's annotation is a complete name; the specification's may be only a tag.
std::string name_of(const json& descriptor) {
  const json& annotations = object_at(descriptor, "annotations");
  const std::string name = text_at(annotations, "io.containerd.image.name");
  return name.empty() ? text_at(annotations, "org.opencontainers.image.ref.name") : name;
}

}  // namespace

Result<std::vector<PlannedImage>> plan_oci_layout(const ImageSource& source,
                                                  const std::string& architecture) {
  const Walk walk{source, architecture};
  const json index = TRY(read_json(source, "index.json"));
  if (source.size("oci-layout")) {
    const json marker = TRY(read_json(source, "oci-layout"));
    const std::string version = text_at(marker, "imageLayoutVersion");
    if (!version.starts_with("1.")) return failure(fmt::format("layout version '{}'", version));
  }
  // The platforms of one image stand beside each other under one name.
  std::vector<std::pair<std::string, json>> by_name;
  for (const json& descriptor : array_at(index, "manifests")) {
    const std::string name = name_of(descriptor);
    const auto same = [&](const auto& entry) { return entry.first == name; };
    auto found = std::ranges::find_if(by_name, same);
    if (found == by_name.end()) found = by_name.insert(found, {name, json::array()});
    found->second.push_back(descriptor);
  }
  std::vector<PlannedImage> images;
  for (const auto& [name, descriptors] : by_name) {
    PlannedImage& image =
        images.emplace_back(PlannedImage{.name = name, .target = {}, .blobs = {}});
    const json chosen = TRY_AS(fmt::format("image '{}'", name), choose(descriptors, architecture));
    image.target = TRY_AS("'index.json'", descriptor_of(chosen));
    TRY_AS(fmt::format("image '{}'", name), plan_target(walk, image.target, image, 0));
  }
  return images;
}

}  // namespace conode::containerd
