// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/memory.h"
#include "agent/base/process.h"
#include "agent/base/temp_dir.h"

namespace conode {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

Result<int> inner() { return code_failure(EACCES, "mkdir 'a/b'"); }
Result<int> outer() { return TRY_AS("start job 42", inner()) + 1; }

TEST(Result, MessageReadsOutsideIn) {
  EXPECT_EQ(outer().error().message(), "start job 42: mkdir 'a/b': Permission denied");
  EXPECT_TRUE(outer().error().is(std::errc::permission_denied));
}

TEST(File, ReplaceIsReadBackWithItsMode) {
  const TempDir dir = TempDir::create().value();
  const std::string path = dir.path() + "/f";
  ASSERT_TRUE(replace_file(path, "one", 0600));
  ASSERT_TRUE(replace_file(path, "two", 0600));
  EXPECT_EQ(read_file(path).value(), "two");
  struct stat st {};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0600U);
  EXPECT_EQ(list_dir(dir.path()).value(), std::vector<std::string>{"f"});
}

TEST(File, AbsentIsAValueOnlyWhereItMayBe) {
  EXPECT_FALSE(read_file_if_exists("/nonexistent/x").value().has_value());
  EXPECT_THAT(read_file("/nonexistent/x").error().message(), HasSubstr("No such file"));
}

TEST(File, MakeDirTellsWhetherItWasThere) {
  const TempDir dir = TempDir::create().value();
  EXPECT_TRUE(make_dir(dir.path() + "/d").value());
  EXPECT_FALSE(make_dir(dir.path() + "/d").value());
  ASSERT_TRUE(replace_file(dir.path() + "/file", ""));
  EXPECT_TRUE(make_dir(dir.path() + "/file").error().is(std::errc::not_a_directory));
}

TEST(File, RemoveTreeTakesTheLinkNotItsTarget) {
  const TempDir dir = TempDir::create().value();
  ASSERT_TRUE(make_dirs(dir.path() + "/keep"));
  ASSERT_TRUE(replace_file(dir.path() + "/keep/file", "x"));
  ASSERT_TRUE(make_dirs(dir.path() + "/tree/deep/er"));
  ASSERT_EQ(::symlink((dir.path() + "/keep").c_str(), (dir.path() + "/tree/link").c_str()), 0);
  ASSERT_TRUE(remove_tree(dir.path() + "/tree"));
  EXPECT_FALSE(exists(dir.path() + "/tree"));
  EXPECT_TRUE(exists(dir.path() + "/keep/file"));
  EXPECT_TRUE(remove_tree(dir.path() + "/tree"));  // the absent is removed already
}

TEST(Process, ExitCodePassesThrough) {
  Process child = Process::spawn({.argv = {"sh", "-c", "exit 7"}}).value();
  EXPECT_EQ(shell_exit_code(child.wait().value()), 7);
}

TEST(Process, ExecFailureIsTheSpawnsFailure) {
  const auto child = Process::spawn({.argv = {"/nonexistent/program"}});
  ASSERT_FALSE(child);
  EXPECT_THAT(child.error().message(),
              HasSubstr("start '/nonexistent/program': exec: No such file"));
}

TEST(Process, WaitTimesOutAndSignalIsSeen) {
  Process child = Process::spawn({.argv = {"sleep", "100"}}).value();
  EXPECT_FALSE(child.wait_for(milliseconds(10)).value().has_value());
  ASSERT_TRUE(child.kill(SIGTERM));
  EXPECT_EQ(shell_exit_code(child.wait().value()), 128 + SIGTERM);
  EXPECT_TRUE(child.kill(SIGTERM));  // ended: no error
}

TEST(Process, DestructorLeavesNoChild) {
  pid_t pid = 0;
  {
    const Process child = Process::spawn({.argv = {"sleep", "100"}}).value();
    pid = child.pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Process, DescriptorsAreMapped) {
  const TempDir dir = TempDir::create().value();
  const UniqueFd file = open_at(AT_FDCWD, dir.path() + "/out", O_WRONLY | O_CREAT, 0600).value();
  Process child =
      Process::spawn({.argv = {"sh", "-c", "echo hello >&5"}, .fds = {{5, file.get()}}}).value();
  EXPECT_EQ(shell_exit_code(child.wait().value()), 0);
  EXPECT_EQ(read_file(dir.path() + "/out").value(), "hello\n");
}

uint64_t resident_file_pages() {  // KiB
  const std::string status = read_file("/proc/self/status").value();
  return std::stoull(status.substr(status.find("RssFile:") + 8));
}

TEST(Memory, CodeThatIsNotInUseIsNotOursAndComesBack) {
  const uint64_t before = resident_file_pages();
  release_idle_memory();
  EXPECT_LT(resident_file_pages(), before);
  EXPECT_TRUE(exists("/proc/self/maps"));
}

TEST(Command, OutputAndFailure) {
  EXPECT_EQ(command_output({"sh", "-c", "echo out; echo err >&2"}).value(), "out\n");
  EXPECT_THAT(command_output({"sh", "-c", "echo because >&2; exit 3"}).error().message(),
              HasSubstr("exit code 3: because"));
  EXPECT_THAT(run_command({"no-such-program"}).error().message(), HasSubstr("not found in PATH"));
}

}  // namespace
}  // namespace conode
