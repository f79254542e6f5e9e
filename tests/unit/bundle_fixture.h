// SPDX-License-Identifier: Apache-2.0
// A tiny bundle of this machine's architecture in a scratch directory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/bundle/bundle.h"
#include "agent/bundle/digest.h"

namespace conode::bundle {

inline Entry file_entry(const std::string& path, const std::string& content, mode_t mode) {
  return {
      .path = path, .size = content.size(), .mode = mode, .sha256 = sha256(content), .link = {}};
}

inline Manifest small_manifest() {
  return {.architecture = host_architecture(),
          .created_by = "conode test",
          .go_version = "go1.26.8",
          .recipe = sha256("recipe"),
          .components = {{"kubernetes", "v1.37.2", "Apache-2.0", "k8s.io/kubernetes"}},
          .entries = {file_entry("extras/ctr", "ctr program", 0755),
                      file_entry("kube", "kube program", 0755),
                      {.path = "kubelet", .sha256 = {}, .link = "kube"},
                      file_entry("pause.tar", "an image", 0644)}};
}

class BundleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_dirs(path_ + "/extras", 0755));
    write("extras/ctr", "ctr program", 0755);
    write("kube", "kube program", 0755);
    write("pause.tar", "an image", 0644);
    ASSERT_EQ(::symlink("kube", (path_ + "/kubelet").c_str()), 0);
    write_manifest(small_manifest());
  }

  void write(const std::string& name, const std::string& content, mode_t mode = 0644) const {
    ASSERT_TRUE(replace_file(path_ + "/" + name, content, mode));
  }

  void write_manifest(const Manifest& manifest) const {
    write(std::string(kManifestName), to_json(manifest));
  }

  TempDir dir_ = TempDir::create("bundle-test").value();
  std::string path_ = dir_.path() + "/bundle";
};

}  // namespace conode::bundle
