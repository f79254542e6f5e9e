// SPDX-License-Identifier: Apache-2.0
// Files from rank 0 to everyone, relayed by inner agents.
#include <fcntl.h>
#include <gmock/gmock.h>

#include <cstring>

#include "agent/base/temp_dir.h"
#include "agent/bundle/digest.h"
#include "tests/kernel/bus_fixture.h"

namespace conode::bus {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class BusFileTest : public BusTest {
 protected:
  void boot_with_files(uint32_t size, uint32_t arity) {
    dir_.emplace(TempDir::create("conode-bus").value());
    boot({.size = size, .arity = arity, .timing = quick(), .file_dir = dir_->path()});
  }
  // Content that does not repeat.
  static std::string content_of(size_t size) {
    std::string content(size, '\0');
    uint64_t state = 88172645463325252U;
    for (size_t i = 0; i + 8 <= size; i += 8) {
      state ^= state << 13U;
      state ^= state >> 7U;
      state ^= state << 17U;
      std::memcpy(content.data() + i, &state, sizeof state);
    }
    return content;
  }
  UniqueFd file_with(const std::string& content) {
    const std::string path = dir_->path() + "/source";
    EXPECT_TRUE(replace_file(path, content));
    return open_at(AT_FDCWD, path, O_RDONLY).value();
  }
  void expect_delivered(Rank rank, const std::string& sum) {
    ASSERT_EQ(count<FileReceived>(rank), 1U) << rank;
    const ReceivedFile file = all<FileReceived>(rank)[0].file;
    EXPECT_EQ(file.sha256, sum);
    const UniqueFd fd = open_at(AT_FDCWD, file.path, O_RDONLY).value();
    EXPECT_EQ(sha256_of_fd(fd.get(), file.path).value(), sum) << rank;
  }
  // Nothing half-written remains.
  void expect_no_parts(Rank rank) {
    const auto names = list_dir(dir_->path() + "/" + std::to_string(rank)).value();
    for (const std::string& name : names) EXPECT_THAT(name, Not(HasSubstr(".part"))) << rank;
  }
  bool finished() { return count<FileDelivered>(kRoot) == 1; }

  std::optional<TempDir> dir_;
};

TEST_F(BusFileTest, FiftyMebibytesReachEveryone) {
  boot_with_files(7, 2);
  const std::string content = content_of((50U << 20U) + 12345);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(root().send_file("image.tar", file_with(content)));
  ASSERT_TRUE(wait_for([&] { return finished(); }, std::chrono::seconds(60)));
  RecordProperty(
      "seconds",
      std::to_string(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()));
  EXPECT_EQ(all<FileDelivered>(kRoot)[0].done.text(), "0-6");
  EXPECT_TRUE(all<FileDelivered>(kRoot)[0].failed.empty());
  const std::string sum = sha256(content);
  for (Rank rank = 1; rank < 7; ++rank) {
    expect_delivered(rank, sum);
    expect_no_parts(rank);
  }
}

TEST_F(BusFileTest, SmallAndEmptyFilesToo) {
  boot_with_files(4, 1);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{256U << 10U}, size_t{257U << 10U}}) {
    events_.clear();
    const std::string content = content_of(size);
    ASSERT_TRUE(root().send_file("f" + std::to_string(size), file_with(content)));
    ASSERT_TRUE(wait_for([&] { return finished(); })) << size;
    for (Rank rank = 1; rank < 4; ++rank) expect_delivered(rank, sha256(content));
  }
}

TEST_F(BusFileTest, ALostRelayDoesNotStopIt) {
  boot_with_files(7, 2);
  const std::string content = content_of(20U << 20U);
  ASSERT_TRUE(root().send_file("image.tar", file_with(content)));
  // Rank 1 dies with the file half way through.
  const std::string part = dir_->path() + "/3";
  ASSERT_TRUE(wait_for([&] { return !list_dir(part).value().empty(); }));
  world_->kill(1);
  ASSERT_TRUE(wait_for([&] { return finished(); }, std::chrono::seconds(60)));
  EXPECT_EQ(all<FileDelivered>(kRoot)[0].done.text(), "0,2-6");
  for (const Rank rank : {2U, 3U, 4U, 5U, 6U}) expect_delivered(rank, sha256(content));
}

TEST_F(BusFileTest, WhoCannotKeepItSaysWhy) {
  boot_with_files(3, 2);
  ASSERT_TRUE(remove_tree(dir_->path() + "/2"));
  ASSERT_TRUE(root().send_file("image.tar", file_with(content_of(3U << 20U))));
  ASSERT_TRUE(wait_for([&] { return finished(); }));
  const FileDelivered delivered = all<FileDelivered>(kRoot)[0];
  EXPECT_EQ(delivered.done.text(), "0-1");
  EXPECT_THAT(delivered.failed.at(2), HasSubstr("No such file or directory"));
}

TEST_F(BusFileTest, ThoseBelowAFailedRelaySayWhoItWas) {
  boot_with_files(3, 1);
  ASSERT_TRUE(remove_tree(dir_->path() + "/1"));
  ASSERT_TRUE(root().send_file("image.tar", file_with(content_of(3U << 20U))));
  // Rank 2 was never offered anything: rank 1 tells it that there was nothing to be had.
  ASSERT_TRUE(wait_for([&] { return finished(); }));
  const FileDelivered delivered = all<FileDelivered>(kRoot)[0];
  EXPECT_EQ(delivered.failed.size(), 2U);
  EXPECT_THAT(delivered.failed.at(2), HasSubstr("rank 1"));
}

TEST_F(BusFileTest, OnlyRegularFilesWithAPlainName) {
  boot_with_files(1, 2);
  EXPECT_THAT(root().send_file("../up", file_with("x")).error().message(), HasSubstr("'../up'"));
  EXPECT_THAT(root()
                  .send_file("dir", open_at(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY).value())
                  .error()
                  .message(),
              HasSubstr("no regular file"));
  EXPECT_FALSE(root().send_file("closed", UniqueFd()));
}

}  // namespace
}  // namespace conode::bus
