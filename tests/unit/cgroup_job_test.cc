// SPDX-License-Identifier: Apache-2.0
// The directories of a job, on a fake tree: names, refusals, what is shared. The rest needs a
// kernel (tests/kernel/cgroup_test.cc).
#include "cgroup/job_cgroups.h"

#include <gmock/gmock.h>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "cgroup/shared_root.h"

namespace conode {
namespace {

using testing::HasSubstr;

class FakeRoot : public testing::Test {
 protected:
  void put(const std::string& file, const std::string& content) {
    ASSERT_TRUE(replace_file(tree_->path() + "/" + file, content, 0644));
  }
  [[nodiscard]] bool there(const std::string& name) const {
    return exists(tree_->path() + "/" + name);
  }

  Result<TempDir> tree_ = TempDir::create("job-cgroups");
  Delegation delegation_{.path = tree_->path(), .controllers = {}, .may_enable = true};
};

TEST_F(FakeRoot, MakesTheThreeLeaves) {
  const Result<JobCgroups> job = JobCgroups::create(delegation_, "42.step_1");
  ASSERT_TRUE(job) << job.error().message();
  EXPECT_EQ(job->level, EnforcementLevel::grouped);
  EXPECT_EQ(job->job.path(), JobCgroups::path_of(delegation_, "42.step_1"));
  for (const char* leaf : {"agent", "hpc", "k8s"})
    EXPECT_TRUE(there("conode.42.step_1/" + std::string(leaf)));
  ASSERT_TRUE(JobCgroups::create(delegation_, "43"));
  EXPECT_TRUE(there("conode.42.step_1"));
  EXPECT_TRUE(there("conode.43"));
}

TEST_F(FakeRoot, ALeftOverDirectoryIsUsedAgainABusyOneIsNot) {
  ASSERT_TRUE(make_dirs(tree_->path() + "/conode.7/k8s"));
  put("conode.7/cgroup.events", "populated 0\n");
  EXPECT_TRUE(JobCgroups::create(delegation_, "7"));
  put("conode.7/cgroup.events", "populated 1\n");
  put("conode.7/cgroup.procs", "4711\n");
  const Result<JobCgroups> job = JobCgroups::create(delegation_, "7");
  ASSERT_FALSE(job);
  EXPECT_THAT(job.error().message(), HasSubstr("already has processes: 4711"));
  EXPECT_THAT(job.error().remedy, HasSubstr("conode sweep"));
  EXPECT_TRUE(there("conode.7/hpc"));  // the live job is not touched
}

TEST_F(FakeRoot, RefusesWhatIsNoName) {
  for (const char* bad : {"", "a/b", "..//", "a b", "é"}) {
    const Result<JobCgroups> job = JobCgroups::create(delegation_, bad);
    ASSERT_FALSE(job) << bad;
    EXPECT_THAT(job.error().message(), HasSubstr("not a usable name"));
  }
  EXPECT_FALSE(JobCgroups::create(delegation_, std::string(65, 'x')));
  EXPECT_FALSE(JobCgroups::create(delegation_, "1", EnforcementLevel::affinity));
  EXPECT_FALSE(JobCgroups::create({.path = tree_->path() + "/none"}, "1"));
}

TEST_F(FakeRoot, ControllersThatAreMissingLeaveNoTrace) {
  put("cgroup.controllers", "cpu memory\n");  // no cpuset, no pids
  put("cgroup.subtree_control", "");
  put("cgroup.procs", "");
  put("cgroup.type", "domain\n");
  const Result<JobCgroups> job =
      JobCgroups::create(delegation_, "1", EnforcementLevel::controllers);
  ASSERT_TRUE(job) << job.error().message();
  EXPECT_EQ(job->level, EnforcementLevel::grouped);
  ASSERT_EQ(job->missing.size(), 2U);
  EXPECT_THAT(job->missing[0].message(), HasSubstr("does not have the controller 'cpuset'"));
  EXPECT_FALSE(there(kHomeName));
}

TEST_F(FakeRoot, AForeignProcessInTheRootIsNamed) {
  put("cgroup.controllers", "cpuset cpu memory pids\n");
  put("cgroup.subtree_control", "");
  put("cgroup.procs", "0\n");
  put("cgroup.type", "domain\n");
  const Result<JobCgroups> job =
      JobCgroups::create(delegation_, "1", EnforcementLevel::controllers);
  ASSERT_FALSE(job);
  EXPECT_THAT(job.error().message(), HasSubstr("outside of this PID namespace"));
  EXPECT_FALSE(there("conode.1"));
}

TEST_F(FakeRoot, RemoveIsIdempotentAndStaysWithItsJob) {
  ASSERT_TRUE(JobCgroups::create(delegation_, "1"));
  ASSERT_TRUE(JobCgroups::create(delegation_, "10"));
  const std::string path = JobCgroups::path_of(delegation_, "1");
  ASSERT_TRUE(JobCgroups::remove(path));
  EXPECT_FALSE(there("conode.1"));
  EXPECT_TRUE(there("conode.10/hpc"));
  EXPECT_TRUE(JobCgroups::remove(path));
  EXPECT_TRUE(JobCgroups::remove("/nowhere/at/all/conode.1"));
}

TEST_F(FakeRoot, RemoveRefusesWhatIsNotOurs) {
  for (const std::string& bad :
       {std::string("/sys/fs/cgroup"), tree_->path(), std::string(), std::string("conode.1"),
        std::string("/conode.1"), tree_->path() + "/conode.1/k8s"}) {
    const Result<void> removed = JobCgroups::remove(bad);
    ASSERT_FALSE(removed) << bad;
    EXPECT_THAT(removed.error().message(), HasSubstr("not a directory of ours"));
  }
}

TEST_F(FakeRoot, RemoveNamesWhoDoesNotEnd) {
  ASSERT_TRUE(make_dirs(tree_->path() + "/conode.9"));
  put("conode.9/cgroup.events", "populated 1\n");
  put("conode.9/cgroup.procs", "4711\n");
  put("conode.9/cgroup.kill", "");
  const Result<void> removed =
      JobCgroups::remove(tree_->path() + "/conode.9", std::chrono::milliseconds(5));
  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().message(), HasSubstr("after SIGKILL: 4711"));
}

}  // namespace
}  // namespace conode
