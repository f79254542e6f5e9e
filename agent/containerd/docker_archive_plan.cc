// SPDX-License-Identifier: Apache-2.0
// `docker save` before Docker 25, podman's docker-archive: manifest.json names a configuration and
// uncompressed layers, whose digests are the configuration's rootfs.diff_ids. There is no manifest
// for a registry in it; containerd wants one, so it is made here, always with the same bytes.
#include <fmt/format.h>

#include "agent/bundle/digest.h"
#include "agent/containerd/image_document.h"
#include "agent/containerd/image_plan.h"

namespace conode::containerd {
namespace {

constexpr const char* kManifestType = "application/vnd.docker.distribution.manifest.v2+json";
constexpr const char* kConfigType = "application/vnd.docker.container.image.v1+json";
constexpr const char* kLayerType = "application/vnd.docker.image.rootfs.diff.tar";

json to_json(const Descriptor& descriptor) {
  return {{"mediaType", descriptor.media_type},
          {"size", descriptor.size},
          {"digest", descriptor.digest}};
}

Result<std::vector<PlannedBlob>> plan_layers(const ImageSource& source, const json& entry,
                                             const json& diff_ids) {
  const json& paths = array_at(entry, "Layers");
  if (paths.size() != diff_ids.size())
    return failure(
        fmt::format("{} layers, but the configuration tells of {}", paths.size(), diff_ids.size()));
  std::vector<PlannedBlob> layers;
  for (size_t i = 0; i < paths.size(); ++i) {
    if (!paths[i].is_string() || !diff_ids[i].is_string())
      return failure(fmt::format("layer {} has no path or digest", i));
    const std::string path = paths[i].get<std::string>();
    const std::string digest = diff_ids[i].get<std::string>();
    if (!is_digest(digest)) return failure(fmt::format("'{}' is no sha256 digest", digest));
    const std::optional<uint64_t> size = source.size(path);
    if (!size) return failure(fmt::format("layer '{}' is missing", path));
    layers.push_back(
        {.descriptor = {kLayerType, digest, *size}, .labels = {}, .path = path, .content = {}});
  }
  return layers;
}

Result<PlannedImage> plan_entry(const ImageSource& source, const json& entry,
                                const std::string& architecture) {
  const std::string config_path = text_at(entry, "Config");
  if (!source.size(config_path))
    return failure(fmt::format("configuration '{}' is missing", config_path));
  std::string config_text = TRY(source.document(config_path));
  const json config = TRY(parse_json(config_text, config_path));
  TRY(check_platform(platform_of(config), architecture));
  PlannedImage image;
  image.blobs = TRY(plan_layers(source, entry, array_at(object_at(config, "rootfs"), "diff_ids")));
  json layers = json::array();
  Labels references;
  for (const PlannedBlob& layer : image.blobs) {
    references[fmt::format("containerd.io/gc.ref.content.l.{}", layers.size())] =
        layer.descriptor.digest;
    layers.push_back(to_json(layer.descriptor));
  }
  const Descriptor config_descriptor{kConfigType, "sha256:" + sha256(config_text),
                                     config_text.size()};
  references["containerd.io/gc.ref.content.config"] = config_descriptor.digest;
  const std::string manifest = json{
      {"schemaVersion", 2},
      {"mediaType", kManifestType},
      {"config", to_json(config_descriptor)},
      {"layers", layers}}.dump();
  image.target = {kManifestType, "sha256:" + sha256(manifest), manifest.size()};
  image.blobs.push_back({.descriptor = config_descriptor,
                         .labels = {},
                         .path = {},
                         .content = std::move(config_text)});
  image.blobs.push_back({.descriptor = image.target,
                         .labels = std::move(references),
                         .path = {},
                         .content = manifest});
  return image;
}

}  // namespace

Result<std::vector<PlannedImage>> plan_docker_archive(const ImageSource& source,
                                                      const std::string& architecture) {
  const json manifest = TRY(read_json(source, "manifest.json"));
  if (!manifest.is_array()) return failure("'manifest.json' is no list");
  std::vector<PlannedImage> images;
  for (const json& entry : manifest) {
    const json& tags = array_at(entry, "RepoTags");
    const std::string first =
        tags.empty() || !tags[0].is_string() ? "" : tags[0].get<std::string>();
    PlannedImage image =
        TRY_AS(fmt::format("image '{}'", first), plan_entry(source, entry, architecture));
    if (tags.empty()) images.push_back(image);
    for (const json& tag : tags) {
      image.name = tag.is_string() ? tag.get<std::string>() : "";
      images.push_back(image);
    }
  }
  return images;
}

}  // namespace conode::containerd
