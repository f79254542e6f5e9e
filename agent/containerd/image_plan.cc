// SPDX-License-Identifier: Apache-2.0
#include "agent/containerd/image_plan.h"

#include <fmt/format.h>

#include "agent/bundle/manifest.h"
#include "agent/bundle/oci_layout.h"

namespace conode::containerd {
namespace {

constexpr const char* kNameIt = "give it a name: --name NAME:TAG";

Result<std::vector<PlannedImage>> plan_by_format(const ImageSource& source,
                                                 const std::string& architecture) {
  if (source.size("index.json")) return plan_oci_layout(source, architecture);
  if (source.size("manifest.json")) return plan_docker_archive(source, architecture);
  return failure(
      "it is no image: neither 'index.json' (OCI layout) nor 'manifest.json' "
      "(docker save) is in it",
      "give an OCI image layout (a directory or its tar) or the output of 'docker save'");
}

Result<void> name_images(std::vector<PlannedImage>& images, const std::string& override_name) {
  if (!override_name.empty()) {
    for (const PlannedImage& image : images)
      if (image.target.digest != images.front().target.digest)
        return failure(fmt::format("it holds {} images, which cannot all be named '{}'",
                                   images.size(), override_name));
    images.resize(1);
    images.front().name = override_name;
  }
  for (PlannedImage& image : images) {
    if (image.name.empty()) return failure("it holds an image without a name", kNameIt);
    if (image.name.find_first_of(" \t\r\n") != std::string::npos)
      return failure(fmt::format("'{}' is no image name", image.name));
    // A name without host, directory and tag can only be a tag: "latest".
    if (override_name.empty() && image.name.find_first_of("/:") == std::string::npos)
      return failure(fmt::format("it holds an image without a name, only the tag '{}'", image.name),
                     kNameIt);
    image.name = image::complete_name(image.name);
  }
  return {};
}

}  // namespace

Result<std::vector<PlannedImage>> plan_images(const ImageSource& source, const std::string& shown,
                                              const ImportOptions& options) {
  const std::string architecture =
      options.architecture.empty() ? bundle::host_architecture() : options.architecture;
  std::vector<PlannedImage> images =
      TRY_AS(fmt::format("image '{}'", shown), plan_by_format(source, architecture));
  if (images.empty()) return failure(fmt::format("image '{}': it holds no image", shown));
  TRY_AS(fmt::format("image '{}'", shown), name_images(images, options.name));
  return images;
}

}  // namespace conode::containerd
