// SPDX-License-Identifier: Apache-2.0
// Which devices of the machine are this job's, on a tree as /sys, /dev and /proc show it.
#include "agent/topology/device_access.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"

namespace conode::discovery {
namespace {

constexpr const char* kPci = "0000:3b:00.0";

class Devices : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() == 0) GTEST_SKIP() << "root may open everything";
  }
  void directory(const std::string& path) { ASSERT_TRUE(make_dirs(tree_->path() + path)); }
  void file(const std::string& path, mode_t mode, const std::string& text = "") {
    directory(path.substr(0, path.rfind('/')));
    ASSERT_TRUE(replace_file(tree_->path() + path, text, mode));
  }
  [[nodiscard]] bool denied() const {
    const std::string& top = tree_->path();
    return is_denied(kPci, {top + "/sys", top + "/dev", top + "/proc"});
  }
  [[nodiscard]] static std::string of_function(const std::string& name) {
    return std::string("/sys/bus/pci/devices/") + kPci + "/" + name;
  }

  Result<TempDir> tree_ = TempDir::create("devices");
};

TEST_F(Devices, WithoutDeviceFilesNothingIsDenied) {
  EXPECT_FALSE(denied());
  directory(of_function("drm/renderD128"));  // and no /dev/dri, as in some containers
  EXPECT_FALSE(denied());
}

TEST_F(Devices, ARenderNodeTellsWhoseAGpuIs) {
  directory(of_function("drm/card0"));
  directory(of_function("drm/renderD128"));
  file("/dev/dri/card0", 0600);  // the console's matter
  file("/dev/dri/renderD128", 0000);
  EXPECT_TRUE(denied());
  file("/dev/dri/renderD128", 0400);
  EXPECT_TRUE(denied());
  file("/dev/dri/renderD128", 0600);
  EXPECT_FALSE(denied());
}

TEST_F(Devices, OneFileThatMayBeOpenedIsEnough) {
  directory(of_function("drm/renderD128"));
  file("/dev/dri/renderD128", 0000);
  file(std::string("/proc/driver/nvidia/gpus/") + kPci + "/information", 0600,
       "Model: \t\t NVIDIA A100\nDevice Minor: \t 2\nGPU Excluded:\t No\n");
  EXPECT_TRUE(denied());
  file("/dev/nvidia2", 0000);
  EXPECT_TRUE(denied());
  file("/dev/nvidia2", 0600);
  EXPECT_FALSE(denied());
}

TEST_F(Devices, AFabricsVerbsCount) {
  directory(of_function("infiniband_verbs/uverbs0"));
  file("/dev/infiniband/uverbs0", 0000);
  EXPECT_TRUE(denied());
  file("/dev/infiniband/uverbs0", 0600);
  EXPECT_FALSE(denied());
}

}  // namespace
}  // namespace conode::discovery
