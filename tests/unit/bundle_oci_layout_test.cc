// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/oci_layout.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/bundle/digest.h"
#include "agent/bundle/manifest.h"

namespace conode::image {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Member {
  std::string content;
  std::string link;
  mode_t mode = 0;
  time_t mtime = 0;
};

// What a tar archive (compressed or not) has in it.
std::map<std::string, Member> members_of(const std::string& data) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(::archive_read_new(),
                                                           &::archive_read_free);
  ::archive_read_support_filter_all(reader.get());
  ::archive_read_support_format_tar(reader.get());
  EXPECT_EQ(::archive_read_open_memory(reader.get(), data.data(), data.size()), ARCHIVE_OK);
  std::map<std::string, Member> members;
  archive_entry* entry = nullptr;
  while (::archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK) {
    Member member{.content = std::string(static_cast<size_t>(::archive_entry_size(entry)), '\0'),
                  .link = {},
                  .mode = ::archive_entry_mode(entry),
                  .mtime = ::archive_entry_mtime(entry)};
    for (const char* link : {::archive_entry_symlink(entry), ::archive_entry_hardlink(entry)}) {
      if (link != nullptr) member.link = link;
    }
    EXPECT_EQ(::archive_read_data(reader.get(), member.content.data(), member.content.size()),
              static_cast<la_ssize_t>(member.content.size()));
    members.emplace(::archive_entry_pathname(entry), std::move(member));
  }
  return members;
}

std::string blob(const std::map<std::string, Member>& layout, const json& descriptor) {
  const std::string digest = descriptor.at("digest").get<std::string>().substr(7);
  const std::string& content = layout.at("blobs/sha256/" + digest).content;
  EXPECT_EQ(sha256(content), digest);
  EXPECT_EQ(content.size(), descriptor.at("size").get<size_t>());
  return content;
}

class OciLayoutTest : public ::testing::Test {
 protected:
  TempDir dir_ = TempDir::create("oci-test").value();
  std::string archive_ = dir_.path() + "/image.tar";
  ImageConfig config_{.name = "busybox",
                      .entrypoint = {"/bin/busybox"},
                      .cmd = {"httpd", "-f"},
                      .env = {"A=b"},
                      .working_dir = "/srv",
                      .user = "1000:1000"};
  std::vector<ImageFile> files_{
      {.type = FileType::directory, .path = "bin", .mode = 0755},
      {.path = "bin/busybox", .content = "program", .mode = 0755, .mtime = 1000},
      {.type = FileType::symlink, .path = "bin/sh", .target = "busybox"}};
};

TEST_F(OciLayoutTest, EveryDigestLeadsToTheNextBlob) {
  for (const Compression compression : {Compression::none, Compression::gzip, Compression::zstd}) {
    const Layout written =
        write_layout(config_, files_, archive_, {.layer_compression = compression}).value();
    EXPECT_EQ(written.name, "docker.io/library/busybox:latest");
    const auto layout = members_of(read_file(archive_).value());
    EXPECT_EQ(json::parse(layout.at("oci-layout").content).at("imageLayoutVersion"), "1.0.0");
    const json index = json::parse(layout.at("index.json").content);
    const json& described = index.at("manifests").at(0);
    EXPECT_EQ(described.at("digest"), written.manifest);
    EXPECT_EQ(described.at("annotations").at("io.containerd.image.name"), written.name);
    EXPECT_EQ(described.at("annotations").at("org.opencontainers.image.ref.name"), "latest");
    EXPECT_EQ(described.at("platform").at("architecture"), bundle::host_architecture());

    const json manifest = json::parse(blob(layout, described));
    const json config = json::parse(blob(layout, manifest.at("config")));
    EXPECT_THAT(config.at("config").at("Cmd"), ElementsAre("httpd", "-f"));
    EXPECT_EQ(config.at("config").at("User"), "1000:1000");
    EXPECT_EQ(config.at("config").at("WorkingDir"), "/srv");
    const std::string layer = blob(layout, manifest.at("layers").at(0));
    EXPECT_EQ(layer.size(), written.layer_size);
    if (compression == Compression::none) {
      EXPECT_EQ(config.at("rootfs").at("diff_ids").at(0), "sha256:" + sha256(layer));
    }
    const auto members = members_of(layer);
    EXPECT_EQ(members.at("bin/busybox").content, "program");
    EXPECT_EQ(members.at("bin/busybox").mode & 0777U, 0755U);
    EXPECT_EQ(members.at("bin/busybox").mtime, 0);
    EXPECT_EQ(members.at("bin/sh").link, "busybox");
    EXPECT_EQ(members.size(), 3U);
  }
}

TEST_F(OciLayoutTest, TheDiffIdIsThatOfTheUncompressedLayer) {
  std::map<Compression, std::string> diff_ids;
  for (const Compression compression : {Compression::none, Compression::gzip}) {
    ASSERT_TRUE(write_layout(config_, files_, archive_, {.layer_compression = compression}));
    const auto layout = members_of(read_file(archive_).value());
    const json manifest =
        json::parse(blob(layout, json::parse(layout.at("index.json").content)["manifests"][0]));
    const json config = json::parse(blob(layout, manifest.at("config")));
    diff_ids[compression] = config.at("rootfs").at("diff_ids").at(0);
  }
  EXPECT_EQ(diff_ids[Compression::none], diff_ids[Compression::gzip]);
}

TEST_F(OciLayoutTest, EqualInputGivesEqualBytes) {
  for (const Compression compression : {Compression::none, Compression::gzip}) {
    ASSERT_TRUE(write_layout(config_, files_, archive_, {.layer_compression = compression}));
    const std::string first = read_file(archive_).value();
    files_[1].mtime += 5;
    ASSERT_TRUE(write_layout(config_, files_, archive_, {.layer_compression = compression}));
    EXPECT_EQ(read_file(archive_).value(), first);
  }
}

TEST_F(OciLayoutTest, TimesAreKeptOnRequest) {
  ASSERT_TRUE(write_layout(config_, files_, archive_, {.keep_times = true}));
  EXPECT_THAT(read_file(archive_).value(), HasSubstr(" 00000001750 "));  // 1000 in octal
}

TEST_F(OciLayoutTest, ADirectoryBecomesItsFiles) {
  const std::string root = dir_.path() + "/root";
  ASSERT_TRUE(make_dirs(root + "/etc", 0755));
  ASSERT_TRUE(replace_file(root + "/etc/motd", "hello", 0640));
  ASSERT_EQ(::link((root + "/etc/motd").c_str(), (root + "/etc/second").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/motd", (root + "/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((root + "/pipe").c_str(), 0600), 0);
  const std::vector<ImageFile> files = files_of_directory(root).value();
  std::vector<std::string> paths;
  paths.reserve(files.size());
  for (const ImageFile& file : files) paths.push_back(file.path);
  EXPECT_THAT(paths, ElementsAre("etc", "etc/motd", "etc/second", "link"));
  EXPECT_EQ(files[1].mode, 0640U);
  EXPECT_EQ(files[2].type, FileType::hard_link);
  EXPECT_EQ(files[3].target, "/etc/motd");
  ASSERT_TRUE(write_layout(config_, files, archive_));
  EXPECT_FALSE(files_of_directory(root + "/absent"));
}

TEST_F(OciLayoutTest, LongAndForeignNamesSurvive) {
  const std::string path = std::string(150, 'd') + "/" + std::string(150, 'f') + "\xc3\xa4\xff";
  ASSERT_TRUE(write_layout(config_, {{.path = path, .content = "x"}}, archive_));
  config_.env = {"BAD=\xff"};  // no UTF-8
  ASSERT_TRUE(write_layout(config_, {{.path = path, .content = "x"}}, archive_));
}

TEST_F(OciLayoutTest, AMissingSourceIsNamedAndLeavesNothing) {
  files_[1].source = dir_.path() + "/absent";
  EXPECT_THAT(write_layout(config_, files_, archive_).error().message(),
              HasSubstr("/absent': No such file"));
  EXPECT_THAT(list_dir(dir_.path()).value(), ElementsAre());
}

TEST_F(OciLayoutTest, AnImageNeedsANameAndAPlace) {
  EXPECT_FALSE(write_layout({}, files_, archive_));
  EXPECT_FALSE(write_layout(config_, files_, dir_.path() + "/absent/image.tar"));
}

TEST(CompleteName, AsContainerdDoes) {
  EXPECT_EQ(complete_name("busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(complete_name("busybox:1.36"), "docker.io/library/busybox:1.36");
  EXPECT_EQ(complete_name("me/app"), "docker.io/me/app:latest");
  EXPECT_EQ(complete_name("localhost/app"), "localhost/app:latest");
  EXPECT_EQ(complete_name("host:5000/app"), "host:5000/app:latest");
  EXPECT_EQ(complete_name("registry.k8s.io/pause:3.10"), "registry.k8s.io/pause:3.10");
}

}  // namespace
}  // namespace conode::image
