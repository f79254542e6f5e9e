// SPDX-License-Identifier: Apache-2.0
// Private to this folder: from the JSON documents of an archive to the blobs that containerd needs
// (https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md; for `docker save`
// https://github.com/moby/docker-image-spec). Nothing here talks to containerd.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/containerd.h"
#include "agent/containerd/content_store.h"
#include "agent/containerd/image_source.h"

namespace conode::containerd {

struct PlannedBlob {
  Descriptor descriptor;
  Labels labels;                       // what it refers to, for containerd's garbage collector
  std::string path;                    // in the source
  std::optional<std::string> content;  // known already: instead of `path`
};

struct PlannedImage {
  std::string name;  // complete
  Descriptor target;
  std::vector<PlannedBlob> blobs;  // what is referred to before what refers
};

// The images of `source` for one architecture. `shown` names the source in messages. Fails where a
// document or a blob is missing, malformed, of another size or digest, or for another platform.
[[nodiscard]] Result<std::vector<PlannedImage>> plan_images(const ImageSource& source,
                                                            const std::string& shown,
                                                            const ImportOptions& options);

// Its two cases: an OCI layout's 'index.json', and the 'manifest.json' of `docker save`. Images
// that have no name come without one; those of one name come once.
[[nodiscard]] Result<std::vector<PlannedImage>> plan_oci_layout(const ImageSource& source,
                                                                const std::string& architecture);
[[nodiscard]] Result<std::vector<PlannedImage>> plan_docker_archive(
    const ImageSource& source, const std::string& architecture);

}  // namespace conode::containerd
