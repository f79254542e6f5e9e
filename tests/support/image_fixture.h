// SPDX-License-Identifier: Apache-2.0
// Small container images for tests: the files of a layout as a map that a test may damage, then
// written as a directory or as a tar archive.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/base/file.h"
#include "agent/bundle/digest.h"
#include "agent/bundle/manifest.h"
#include "agent/bundle/tar_writer.h"

namespace conode::test {

using nlohmann::json;
using Files = std::map<std::string, std::string>;  // path -> content

inline std::string blob_path(const std::string& digest) {
  return "blobs/sha256/" + digest.substr(7);
}

inline json add_blob(Files& files, const std::string& type, const std::string& content) {
  const std::string digest = "sha256:" + sha256(content);
  files[blob_path(digest)] = content;
  return {{"mediaType", type}, {"digest", digest}, {"size", content.size()}};
}

struct ImageSpec {
  std::string name = "docker.io/library/test:1";
  std::string layer = "layer";  // bytes of its only layer
  std::string architecture = bundle::host_architecture();
  std::string os = "linux";
  std::string config_type = "application/vnd.oci.image.config.v1+json";
  std::vector<std::string> command = {"/bin/true"};
};

// Adds the image's blobs; its manifest's descriptor comes back.
inline json add_manifest(Files& files, const ImageSpec& spec) {
  const json layer = add_blob(files, "application/vnd.oci.image.layer.v1.tar", spec.layer);
  const json config = {{"architecture", spec.architecture},
                       {"os", spec.os},
                       {"config", {{"Cmd", spec.command}}},
                       {"rootfs", {{"type", "layers"}, {"diff_ids", {layer["digest"]}}}}};
  const json manifest = {{"schemaVersion", 2},
                         {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                         {"config", add_blob(files, spec.config_type, config.dump())},
                         {"layers", {layer}}};
  return add_blob(files, manifest["mediaType"], manifest.dump());
}

inline void set_index(Files& files, const json& manifests) {
  files["index.json"] = json{{"schemaVersion", 2}, {"manifests", manifests}}.dump();
  files["oci-layout"] = R"({"imageLayoutVersion":"1.0.0"})";
}

inline Files oci_layout(const ImageSpec& spec = {}) {
  Files files;
  json manifest = add_manifest(files, spec);
  if (!spec.name.empty())
    manifest["annotations"] = {{"org.opencontainers.image.ref.name", spec.name}};
  set_index(files, json::array({manifest}));
  return files;
}

// As `docker save` wrote it before Docker 25.
inline Files docker_archive(const ImageSpec& spec = {}) {
  const json config = {
      {"architecture", spec.architecture},
      {"os", spec.os},
      {"config", {{"Cmd", spec.command}}},
      {"rootfs", {{"type", "layers"}, {"diff_ids", {"sha256:" + sha256(spec.layer)}}}}};
  Files files;
  const std::string config_path = sha256(config.dump()) + ".json";
  files[config_path] = config.dump();
  files["1/layer.tar"] = spec.layer;
  files["manifest.json"] =
      json::array(
          {{{"Config", config_path}, {"RepoTags", {spec.name}}, {"Layers", {"1/layer.tar"}}}})
          .dump();
  return files;
}

inline void write_directory(const Files& files, const std::string& path) {
  for (const auto& [name, content] : files) {
    const std::string full = path + "/" + name;
    ASSERT_TRUE(make_dirs(full.substr(0, full.rfind('/'))));
    ASSERT_TRUE(replace_file(full, content, 0644));
  }
}

inline std::string tar_of(const Files& files, Compression compression = Compression::none,
                          mode_t mode = 0755) {
  std::string bytes;
  Result<TarWriter> writer = TarWriter::create(compression, [&](std::string_view data) {
    bytes += data;
    return Result<void>();
  });
  if (!writer) return {};
  for (const auto& [name, content] : files)
    EXPECT_TRUE(writer->add_content({.path = name, .mode = mode}, content));
  EXPECT_TRUE(writer->finish());
  return bytes;
}

inline void write_archive(const Files& files, const std::string& path,
                          Compression compression = Compression::none) {
  ASSERT_TRUE(replace_file(path, tar_of(files, compression), 0644));
}

}  // namespace conode::test
