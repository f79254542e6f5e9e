// SPDX-License-Identifier: Apache-2.0
// Container images without a registry or an engine: files -> one-layer image in an OCI image-layout
// tar that containerd imports (https://github.com/opencontainers/image-spec, v1.1). Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/bundle/tar_writer.h"

namespace conode::image {

struct ImageConfig {
  std::string name;  // "registry.k8s.io/pause:3.10"; short names are completed
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;  // "NAME=value"
  std::string working_dir = "/";
  std::string user;  // "uid[:gid]"; empty: root
  std::map<std::string, std::string> labels;
  std::string architecture;  // Go's name; empty: this machine's
};

enum class FileType { regular, directory, symlink, hard_link };

// One member of the layer.
struct ImageFile {
  FileType type = FileType::regular;
  std::string path;     // in the image, without leading slash
  std::string source;   // regular: the file to read; empty: `content`
  std::string content;  // regular without a source
  std::string target;   // of a link; a hard link's is a path in the image
  mode_t mode = 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
  time_t mtime = 0;
};

struct LayoutOptions {
  Compression layer_compression = Compression::none;
  // Modification times as given; otherwise all 0, so that equal input gives equal bytes. (Python's
  // compiled files are only valid with the times they were made for.)
  bool keep_times = false;
  std::function<void(const ImageFile&, size_t index, size_t count)> on_file;
};

struct Layout {
  std::string name;         // completed
  std::string manifest;     // digest "sha256:..."
  uint64_t layer_size = 0;  // bytes, as stored
};

// "busybox" -> "docker.io/library/busybox:latest", as containerd's CRI completes it.
[[nodiscard]] std::string complete_name(std::string_view name);

// Everything below `root`, sorted, links as links; owners become root's. Sockets, pipes and devices
// are left out.
[[nodiscard]] Result<std::vector<ImageFile>> files_of_directory(const std::string& root);

// Writes `archive`, all or nothing. Needs room for the layer twice.
[[nodiscard]] Result<Layout> write_layout(const ImageConfig& config,
                                          const std::vector<ImageFile>& files,
                                          const std::string& archive,
                                          const LayoutOptions& options = {});

}  // namespace conode::image
