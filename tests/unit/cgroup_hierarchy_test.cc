// SPDX-License-Identifier: Apache-2.0
// Where the hierarchy is and what of it is delegated, on recorded mount tables and a fake tree.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "cgroup/delegation.h"
#include "cgroup/hierarchy.h"
#include "cgroup/limits.h"

namespace conode {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FakeProc : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_dirs(proc() + "/self")); }
  [[nodiscard]] std::string proc() const { return tree_->path() + "/proc"; }
  [[nodiscard]] std::string mount() const { return tree_->path() + "/cg"; }

  void put(const std::string& path, const std::string& content, mode_t mode = 0644) {
    ASSERT_TRUE(replace_file(path, content, mode));
  }
  // A mount table; "MNT" stands for the fake tree.
  void mounts(std::string table) {
    for (size_t at = 0; (at = table.find("MNT", at)) != std::string::npos;)
      table.replace(at, 3, mount());
    put(proc() + "/self/mountinfo", table);
  }
  // A cgroup directory with the files that detection looks at.
  void cgroup(const std::string& path, mode_t mode, const std::string& controllers = "") {
    const std::string dir = mount() + path;
    ASSERT_TRUE(make_dirs(dir, 0755));
    put(dir + "/cgroup.controllers", controllers + "\n");
    put(dir + "/cgroup.procs", "", mode);
    put(dir + "/cgroup.subtree_control", "", mode);
  }
  void own(const std::string& path) { put(proc() + "/self/cgroup", "3:cpu:/x\n0::" + path + "\n"); }

  Result<TempDir> tree_ = TempDir::create("hierarchy");
};

TEST_F(FakeProc, UnifiedHost) {
  cgroup("", 0644, "cpuset cpu memory pids");
  mounts(
      "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "30 22 0:26 / MNT rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n");
  const Result<std::optional<CgroupHierarchy>> found = find_hierarchy(proc());
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->mode, CgroupMode::unified);
  EXPECT_EQ((*found)->mount, mount());
  EXPECT_THAT((*found)->v1_controllers, IsEmpty());
}

TEST_F(FakeProc, HybridHostNamesTheControllersOfVersionOne) {
  cgroup("", 0644);
  mounts(
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
      "41 31 0:38 / MNT rw,relatime - cgroup2 cgroup2 rw\n");
  const Result<std::optional<CgroupHierarchy>> found = find_hierarchy(proc());
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->mode, CgroupMode::hybrid);
  EXPECT_THAT((*found)->v1_controllers, ElementsAre("cpu", "cpuacct"));
}

TEST_F(FakeProc, NoVersionTwoIsNoError) {
  mounts("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\nbroken line\n");
  EXPECT_EQ(find_hierarchy(proc()).value(), std::nullopt);
  mounts("41 31 0:38 / MNT/elsewhere rw - cgroup2 cgroup2 rw\n");  // hidden under another mount
  EXPECT_EQ(find_hierarchy(proc()).value(), std::nullopt);
}

TEST_F(FakeProc, MissingProcIsAnError) {
  const auto found = find_hierarchy(tree_->path() + "/none");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message(), HasSubstr("mountinfo"));
}

TEST_F(FakeProc, EscapedMountPointAndWholeHierarchyFirst) {
  cgroup("/a b", 0644);
  cgroup("/part", 0644);
  mounts(
      "41 31 0:38 /some/where MNT/part rw - cgroup2 cgroup2 rw\n"
      "42 31 0:38 / MNT/a\\040b rw - cgroup2 cgroup2 rw\n");
  const Result<std::optional<CgroupHierarchy>> found = find_hierarchy(proc());
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->mount, mount() + "/a b");
}

TEST(HierarchyDirectory, MapsCgroupsToDirectories) {
  const CgroupHierarchy whole{.mount = "/cg"};
  EXPECT_EQ(whole.directory("/"), "/cg");
  EXPECT_EQ(whole.directory("/a/b"), "/cg/a/b");
  const CgroupHierarchy part{.mount = "/cg", .root = "/a"};
  EXPECT_EQ(part.directory("/a"), "/cg");
  EXPECT_EQ(part.directory("/a/b"), "/cg/b");
  for (const char* outside : {"/", "/ab", "/b/a"}) EXPECT_EQ(part.directory(outside), std::nullopt);
  for (const char* outside : {"/..", "/../x", "/a (deleted)", "", "a"})
    EXPECT_EQ(whole.directory(outside), std::nullopt) << outside;
  // The mount was made outside of our cgroup namespace: names in between are unknown.
  EXPECT_EQ((CgroupHierarchy{.mount = "/cg", .root = "/.."}.directory("/x")), std::nullopt);
}

TEST_F(FakeProc, CgroupOfAProcess) {
  own("/user/job 42");
  EXPECT_EQ(cgroup_of(0, proc()).value(), "/user/job 42");
  put(proc() + "/self/cgroup", "3:cpu:/x\n");
  EXPECT_EQ(cgroup_of(0, proc()).value(), std::nullopt);
  EXPECT_FALSE(cgroup_of(4711, proc()));
}

// Permissions mean nothing to root: the walk is tried as an ordinary user where we are one.
TEST_F(FakeProc, DelegatedRootIsTheTopmostWritable) {
  const std::string four = "cpuset cpu memory pids hugetlb";
  cgroup("", 0444, four);
  cgroup("/job", 0444, four);
  cgroup("/job/user", 0644, four);
  cgroup("/job/user/leaf", 0644, "cpu");
  own("/job/user/leaf");
  const auto found = find_delegation({.mount = mount()}, 0, proc());
  ASSERT_TRUE(found && *found);
  if (::geteuid() == 0) {
    EXPECT_EQ((*found)->path, mount() + "/job/user/leaf");
    EXPECT_EQ((*found)->level(), EnforcementLevel::grouped);
    return;
  }
  EXPECT_EQ((*found)->path, mount() + "/job/user");
  EXPECT_EQ((*found)->level(), EnforcementLevel::controllers);
  EXPECT_TRUE((*found)->offers("hugetlb"));
}

// As conode's hooks leave it in Slurm: the tasks' cgroups are root's.
TEST_F(FakeProc, DelegatedBesideTheStepsOfAJob) {
  if (::geteuid() == 0) GTEST_SKIP() << "permissions mean nothing to root";
  const std::string four = "cpuset cpu memory pids";
  cgroup("", 0444, four);
  cgroup("/scope", 0444, four);
  cgroup("/scope/job_7", 0444, four);
  cgroup("/scope/job_7/step_0/user/task_0", 0444);
  ASSERT_EQ(::chmod((mount() + "/scope/job_7/cgroup.procs").c_str(), 0644), 0);
  own("/scope/job_7/step_0/user/task_0");
  const auto found = [&] { return find_delegation({.mount = mount()}, 0, proc()).value(); };
  EXPECT_EQ(found(), std::nullopt);
  cgroup("/scope/job_7/conode", 0644, four);
  ASSERT_NE(found(), std::nullopt);
  EXPECT_EQ(found()->path, mount() + "/scope/job_7/conode");
  EXPECT_TRUE(found()->elsewhere);
  EXPECT_EQ(found()->level(), EnforcementLevel::controllers);
  // Without the right to the common ancestor nobody can move there.
  ASSERT_EQ(::chmod((mount() + "/scope/job_7/cgroup.procs").c_str(), 0444), 0);
  EXPECT_EQ(found(), std::nullopt);
  // Another job's.
  ASSERT_EQ(::chmod((mount() + "/scope/job_7/cgroup.procs").c_str(), 0644), 0);
  cgroup("/scope/job_8/step_0", 0444);
  own("/scope/job_8/step_0");
  EXPECT_EQ(found(), std::nullopt);
}

TEST_F(FakeProc, NothingDelegated) {
  cgroup("", 0444);
  own("/not/there");
  EXPECT_EQ(find_delegation({.mount = mount()}, 0, proc()).value(), std::nullopt);
  own("/..");
  EXPECT_EQ(find_delegation({.mount = mount()}, 0, proc()).value(), std::nullopt);
  own("/");
  if (::geteuid() != 0) {
    EXPECT_EQ(find_delegation({.mount = mount()}, 0, proc()).value(), std::nullopt);
  }
}

TEST(Delegation, LevelNeedsAllRequiredControllersAndTheRightToEnableThem) {
  Delegation d{
      .path = "/x", .controllers = {"cpu", "memory", "pids", "cpuset"}, .may_enable = true};
  EXPECT_EQ(d.level(), EnforcementLevel::controllers);
  d.may_enable = false;
  EXPECT_EQ(d.level(), EnforcementLevel::grouped);
  EXPECT_EQ((Delegation{.path = "/x", .controllers = {"cpu"}, .may_enable = true}.level()),
            EnforcementLevel::grouped);
}

TEST_F(FakeProc, TheLeastMemoryLimitAboveCounts) {
  const CgroupHierarchy hierarchy{.mount = mount()};
  cgroup("/job/step/task", 0644);
  const std::string task = mount() + "/job/step/task";
  EXPECT_EQ(least_limit(hierarchy, task, value::kMemoryMax), std::nullopt);  // no controller
  put(mount() + "/memory.max", "1\n");  // the mount's own is not ours to read
  put(mount() + "/job/memory.max", "4096\n");
  put(mount() + "/job/step/memory.max", "8192\n");
  put(task + "/memory.max", "max\n");
  EXPECT_EQ(least_limit(hierarchy, task, value::kMemoryMax), 4096U);
  EXPECT_EQ(least_limit(hierarchy, mount(), value::kMemoryMax), std::nullopt);
  put(mount() + "/job/step/memory.max", "1024\n");
  EXPECT_EQ(least_limit(hierarchy, task, value::kMemoryMax), 1024U);
}

TEST_F(FakeProc, TasksAreLimitedByTheKernelAndByCgroups) {
  const CgroupHierarchy hierarchy{.mount = mount()};
  cgroup("/job/step", 0644);
  const std::string step = mount() + "/job/step";
  EXPECT_EQ(task_limit(hierarchy, step, proc()), std::nullopt);
  ASSERT_TRUE(make_dirs(proc() + "/sys/kernel"));
  put(proc() + "/sys/kernel/pid_max", "4194304\n");
  put(proc() + "/sys/kernel/threads-max", "95000\n");
  EXPECT_EQ(task_limit(hierarchy, step, proc()), 95000U);
  put(mount() + "/job/pids.max", "4915\n");
  put(step + "/pids.max", "max\n");
  EXPECT_EQ(task_limit(hierarchy, step, proc()), 4915U);
}

}  // namespace
}  // namespace conode
