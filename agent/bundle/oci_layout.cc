// SPDX-License-Identifier: Apache-2.0
//
// Theory of operation: the digest of the layer comes before the layer in the layout, so the layer
// is first written to an unlinked file beside the archive, hashed on the way both before (diff_id)
// and after compression (digest). The layout is then a tar of five small and one large file.
#include "agent/bundle/oci_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/bundle/digest.h"
#include "agent/bundle/manifest.h"

namespace conode::image {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kConfigType = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";

std::string layer_type(Compression compression) {
  static constexpr std::string_view kTar = "application/vnd.oci.image.layer.v1.tar";
  if (compression == Compression::gzip) return fmt::format("{}+gzip", kTar);
  if (compression == Compression::zstd) return fmt::format("{}+zstd", kTar);
  return std::string(kTar);
}

struct Layer {
  UniqueFd fd;
  uint64_t size = 0;
  std::string diff_id;  // of the tar
  std::string digest;   // of what is stored
};

Result<void> add(TarWriter& writer, const ImageFile& file, bool keep_times) {
  const TarMember member = {.path = file.path,
                            .mode = file.mode,
                            .uid = file.uid,
                            .gid = file.gid,
                            .mtime = keep_times ? file.mtime : 0};
  switch (file.type) {
    case FileType::directory:
      return writer.add_directory(member);
    case FileType::symlink:
      return writer.add_symlink(member, file.target);
    case FileType::hard_link:
      return writer.add_hard_link(member, file.target);
    case FileType::regular:
      break;
  }
  if (file.source.empty()) return writer.add_content(member, file.content);
  const UniqueFd fd = TRY(open_at(AT_FDCWD, file.source, O_RDONLY | O_NOFOLLOW));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return errno_failure(fmt::format("stat '{}'", file.source));
  return writer.add_file(member, fd.get(), static_cast<uint64_t>(st.st_size));
}

Result<UniqueFd> unlinked_file(const std::string& beside) {
  std::string path = beside + ".XXXXXX";
  UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return errno_failure(fmt::format("create '{}'", path));
  (void)::unlink(path.c_str());
  return fd;
}

Result<Layer> write_layer(const std::vector<ImageFile>& files, const std::string& beside,
                          const LayoutOptions& options) {
  Layer layer;
  layer.fd = TRY(unlinked_file(beside));
  Sha256 plain;
  Sha256 stored;
  Compressor compressor =
      TRY(Compressor::create(options.layer_compression, [&](std::string_view data) {
        stored.update(data);
        layer.size += data.size();
        return write_all(layer.fd.get(), data, "layer");
      }));
  TarWriter writer = TRY(TarWriter::create(Compression::none, [&](std::string_view data) {
    plain.update(data);
    return compressor.write(data);
  }));
  size_t index = 0;
  for (const ImageFile& file : files) {
    if (options.on_file) options.on_file(file, index++, files.size());
    TRY(add(writer, file, options.keep_times));
  }
  TRY(writer.finish());
  TRY(compressor.finish());
  layer.diff_id = "sha256:" + plain.hex();
  layer.digest = "sha256:" + stored.hex();
  if (::lseek(layer.fd.get(), 0, SEEK_SET) != 0) return errno_failure("rewind the layer");
  return layer;
}

Json config_json(const ImageConfig& config, const Layer& layer) {
  Json run = Json::object();
  if (!config.user.empty()) run["User"] = config.user;
  if (!config.env.empty()) run["Env"] = config.env;
  if (!config.entrypoint.empty()) run["Entrypoint"] = config.entrypoint;
  if (!config.cmd.empty()) run["Cmd"] = config.cmd;
  run["WorkingDir"] = config.working_dir;
  if (!config.labels.empty()) run["Labels"] = config.labels;
  return {{"architecture", config.architecture},
          {"os", "linux"},
          {"config", std::move(run)},
          {"rootfs", {{"type", "layers"}, {"diff_ids", Json::array({layer.diff_id})}}}};
}

Json descriptor(std::string_view type, const std::string& digest, uint64_t size) {
  return {{"mediaType", type}, {"digest", digest}, {"size", size}};
}

Json descriptor(std::string_view type, const std::string& content) {
  return descriptor(type, "sha256:" + sha256(content), content.size());
}

// What a caller gave may be no UTF-8; that must not throw.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string tag_of(const std::string& name) { return name.substr(name.rfind(':') + 1); }

std::string index_json(const ImageConfig& config, const std::string& manifest) {
  Json described = descriptor(kManifestType, manifest);
  described["platform"] = {{"architecture", config.architecture}, {"os", "linux"}};
  described["annotations"] = {{"io.containerd.image.name", config.name},
                              {"org.opencontainers.image.ref.name", tag_of(config.name)}};
  return text_of({{"schemaVersion", 2},
                  {"mediaType", kIndexType},
                  {"manifests", Json::array({std::move(described)})}});
}

std::string blob_path(const std::string& digest) {
  return "blobs/sha256/" + digest.substr(digest.find(':') + 1);
}

Result<Layout> write_archive(const ImageConfig& config, const Layer& layer, Compression compression,
                             int fd) {
  const std::string image_config = text_of(config_json(config, layer));
  const std::string manifest = text_of(
      {{"schemaVersion", 2},
       {"mediaType", kManifestType},
       {"config", descriptor(kConfigType, image_config)},
       {"layers", Json::array({descriptor(layer_type(compression), layer.digest, layer.size)})}});
  TarWriter writer = TRY(TarWriter::create(
      Compression::none, [fd](std::string_view data) { return write_all(fd, data, "archive"); }));
  const auto add_blob = [&writer](const std::string& content) {
    return writer.add_content({.path = blob_path(sha256(content))}, content);
  };
  TRY(writer.add_content({.path = "oci-layout"}, R"({"imageLayoutVersion":"1.0.0"})"));
  TRY(writer.add_content({.path = "index.json"}, index_json(config, manifest)));
  TRY(writer.add_directory({.path = "blobs", .mode = 0755}));
  TRY(writer.add_directory({.path = "blobs/sha256", .mode = 0755}));
  TRY(add_blob(manifest));
  TRY(add_blob(image_config));
  TRY(writer.add_file({.path = blob_path(layer.digest)}, layer.fd.get(), layer.size));
  TRY(writer.finish());
  return Layout{
      .name = config.name, .manifest = "sha256:" + sha256(manifest), .layer_size = layer.size};
}

}  // namespace

std::string complete_name(std::string_view name) {
  std::string full(name);
  const std::string first = full.substr(0, full.find('/'));
  const bool has_host = full.find('/') != std::string::npos &&
                        (first.find_first_of(".:") != std::string::npos || first == "localhost");
  if (!has_host)
    full = (full.find('/') == std::string::npos ? "docker.io/library/" : "docker.io/") + full;
  const bool has_tag = full.find(':', full.rfind('/')) != std::string::npos;
  if (!has_tag) full += ":latest";
  return full;
}

Result<Layout> write_layout(const ImageConfig& config, const std::vector<ImageFile>& files,
                            const std::string& archive, const LayoutOptions& options) {
  const auto outer = [&] { return fmt::format("write image '{}' to '{}'", config.name, archive); };
  if (config.name.empty()) return failure("write image: it has no name");
  ImageConfig complete = config;
  complete.name = complete_name(config.name);
  if (complete.architecture.empty()) complete.architecture = bundle::host_architecture();
  const Layer layer = TRY_AS(outer(), write_layer(files, archive, options));
  const std::string partial = archive + ".part";
  const UniqueFd fd =
      TRY_AS(outer(), open_at(AT_FDCWD, partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  Result<Layout> layout = write_archive(complete, layer, options.layer_compression, fd.get());
  if (layout && ::rename(partial.c_str(), archive.c_str()) != 0)
    layout = errno_failure(fmt::format("rename to '{}'", archive));
  if (layout) return layout;
  (void)::unlink(partial.c_str());
  return tl::make_unexpected(std::move(layout).error().wrap(outer()));
}

}  // namespace conode::image
