// SPDX-License-Identifier: Apache-2.0
// Which directory is a job's, on a fake tree; and what the hook remembers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <utility>
#include <vector>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "batch_hooks/hook/job_cgroup.h"
#include "batch_hooks/hook/job_user.h"
#include "batch_hooks/hook/record.h"

namespace conode::hook {
namespace {

using testing::HasSubstr;

class FindJobCgroup : public testing::Test {
 protected:
  Result<JobCgroup> find(const std::string& cgroup, const std::vector<std::string>& names) {
    const std::string proc = tree_->path() + "/proc";
    EXPECT_TRUE(make_dirs(proc + "/42"));
    EXPECT_TRUE(replace_file(proc + "/42/cgroup", "3:cpu:/x\n0::" + cgroup + "\n"));
    return find_job_cgroup({.mount = "/cg"}, 42, names, proc);
  }
  Result<TempDir> tree_ = TempDir::create("hook");
};

TEST_F(FindJobCgroup, WhateverTheScopeIsCalled) {
  for (const std::string scope :
       {"/system.slice/slurmstepd.scope", "/system.slice/n1_slurmstepd.scope"}) {
    const Result<JobCgroup> found = find(scope + "/job_17/step_batch/user/task_0", {"job_17"});
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_EQ(found->path, "/cg" + scope + "/job_17");
  }
}

TEST_F(FindJobCgroup, BySluid) {
  const Result<JobCgroup> found =
      find("/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_extern/slurm",
           {"job_17", "sEKNKTV3WPV500"});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "sEKNKTV3WPV500");
}

TEST_F(FindJobCgroup, NothingElseIsEverGivenAway) {
  for (const char* elsewhere :
       {"/", "/system.slice/slurmd.service", "/system.slice/slurmstepd.scope/job_171/step_0",
        "/system.slice/slurmstepd.scope/job_1/job_7", "/user.slice/user-1000.slice",
        "/xjob_17/a"}) {
    const Result<JobCgroup> found = find(elsewhere, {"job_17"});
    ASSERT_FALSE(found) << elsewhere;
    EXPECT_THAT(found.error().message(), HasSubstr("find the cgroup of job 'job_17'"));
    EXPECT_THAT(found.error().remedy, HasSubstr("RunInJob"));
  }
}

TEST(Sluid, IsNoOtherNameOfTheTree) {
  EXPECT_TRUE(is_sluid("sEKNKTV3WPV500"));
  for (const char* other :
       {"", "s", "system", "system.slice", "slurmd", "slurmd.service", "slurmstepd.scope", "job_17",
        "sEKNK/..TV3WPV", "SEKNKTV3WPV500", "sEKNKTV3WPV500EKNKTV3WPV500"})
    EXPECT_FALSE(is_sluid(other)) << other;
}

class JobUser : public testing::Test {
 protected:
  Result<void> check(uid_t user, gid_t group, const std::string& defs = "UID_MIN 500\n") {
    const std::string path = dir_->path() + "/login.defs";
    EXPECT_TRUE(replace_file(path, defs));
    return check_job_user(user, group, path);
  }
  Result<TempDir> dir_ = TempDir::create("hook");
};

TEST_F(JobUser, IsAnOrdinaryOne) {
  EXPECT_TRUE(check(500, 100));
  EXPECT_TRUE(check(1000, 100, "# UID_MIN 5000\nUID_MAX 60000\n"));
  EXPECT_TRUE(check(4000000, 4000000, ""));
  EXPECT_TRUE(check_job_user(1000, 100, dir_->path() + "/absent"));
}

TEST_F(JobUser, IsNeitherRootNorTheSystemNorNobody) {
  constexpr auto kUnchanged = ~uint32_t{0};  // what chown(2) and setresuid(2) leave as it is
  for (const auto& [user, group] : std::vector<std::pair<uid_t, gid_t>>{{0, 100},
                                                                        {1000, 0},
                                                                        {kUnchanged, 100},
                                                                        {1000, kUnchanged},
                                                                        {65534, 100},
                                                                        {1000, 65534},
                                                                        {499, 100}})
    EXPECT_EQ(check(user, group).error().code, std::errc::operation_not_permitted)
        << user << ":" << group;
  for (const char* defs : {"", "UID_MIN\n", "UID_MIN 0\n", "UID_MIN x\n"})
    EXPECT_FALSE(check(999, 100, defs)) << defs;
}

class Records : public testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return dir_->path() + "/run"; }
  HookDirectory hooks() { return HookDirectory::open(path()).value(); }
  Result<TempDir> dir_ = TempDir::create("hook");
};

TEST_F(Records, AreKeptAndForgotten) {
  const HookDirectory open = hooks();
  EXPECT_FALSE(read_record(open, "17").value());
  ASSERT_TRUE(write_record(open, {"17", "/cg/scope/job_17", 1000, 100}));
  const std::optional<Record> read = read_record(open, "17").value();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->cgroup, "/cg/scope/job_17");
  EXPECT_EQ(read->user, 1000U);
  EXPECT_EQ(read->group, 100U);
  EXPECT_EQ(all_records(open).value().size(), 1U);
  ASSERT_TRUE(remove_record(open, "17"));
  ASSERT_TRUE(remove_record(open, "17"));
  EXPECT_TRUE(all_records(open).value().empty());
  EXPECT_FALSE(exists(path() + "/17"));
}

TEST_F(Records, StayBesideWhatElseIsThere) {
  const HookDirectory open = hooks();
  ASSERT_TRUE(write_record(open, {"17", "/cg/job_17", 1000, 100}));
  ASSERT_TRUE(replace_file(path() + "/17/vxlan.settings", "x"));
  ASSERT_TRUE(remove_record(open, "17"));
  EXPECT_TRUE(exists(path() + "/17/vxlan.settings"));
}

TEST_F(Records, AreRefusedWhereTheyAreDamagedOrForeign) {
  const HookDirectory open = hooks();
  for (const char* text :
       {"", "1000", "1000 100\n", "-1 100 /cg/job_17\n", "1000 -1 /cg/job_17\n", "1000 100 /\n",
        "4294967296 100 /cg/job_17\n", "1000 100 /cg/job_17\n/etc\n", "1000 100 /cg/job_17/\n",
        "1000 100 relative\n", "1000 100 /cg/../etc\n", "x y /cg\n"}) {
    ASSERT_TRUE(make_dir(path() + "/17"));
    ASSERT_TRUE(replace_file(path() + "/17/delegated", text));
    EXPECT_FALSE(read_record(open, "17")) << text;
    EXPECT_TRUE(all_records(open).value().empty());
  }
  for (const char* name : {"../17", "a/b", "", ".", "-x"})
    EXPECT_FALSE(read_record(open, name)) << name;
  // Somebody else could have written it.
  ASSERT_TRUE(replace_file(path() + "/17/delegated", "1000 100 /cg/job_17\n"));
  ASSERT_EQ(::chmod((path() + "/17").c_str(), 0777), 0);
  EXPECT_FALSE(read_record(open, "17"));
}

}  // namespace
}  // namespace conode::hook
