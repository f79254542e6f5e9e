// SPDX-License-Identifier: Apache-2.0
// The cgroup library on a directory with plain files in the place of cgroupfs.
#include "cgroup/cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "cgroup/enforcement.h"

namespace conode {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FakeCgroup : public testing::Test {
 protected:
  void put(const std::string& file, const std::string& content) {
    ASSERT_TRUE(replace_file(tree_->path() + "/" + file, content, 0644));
  }
  std::string content(const std::string& file) {
    return read_file(tree_->path() + "/" + file).value_or("(absent)");
  }
  void dir(const std::string& name) { ASSERT_TRUE(make_dirs(tree_->path() + "/" + name)); }

  Result<TempDir> tree_ = TempDir::create("cgroup");
  Result<Cgroup> cgroup_ = Cgroup::open(tree_->path());
};

TEST(Enforcement, NamesGoBothWays) {
  for (const auto& [level, name] : kEnforcementNames) {
    EXPECT_EQ(to_string(level), name);
    EXPECT_EQ(enforcement_from_string(name), level);
  }
  EXPECT_EQ(enforcement_from_string("Controllers"), std::nullopt);
  EXPECT_LT(EnforcementLevel::affinity, EnforcementLevel::controllers);
}

TEST_F(FakeCgroup, OpenOfTheAbsentNamesTheDirectory) {
  const Result<Cgroup> absent = Cgroup::open(tree_->path() + "/none");
  ASSERT_FALSE(absent);
  EXPECT_TRUE(absent.error().is(std::errc::no_such_file_or_directory));
  EXPECT_THAT(absent.error().message(), HasSubstr("/none"));
}

TEST_F(FakeCgroup, CreateTellsWhetherItMadeTheChild) {
  EXPECT_EQ(cgroup_->create("a").value(), true);
  EXPECT_EQ(cgroup_->create("a").value(), false);
  dir("b/deeper");
  put("a.file", "");
  EXPECT_THAT(cgroup_->children().value(), ElementsAre("a", "b"));
  EXPECT_EQ(cgroup_->open_child("b")->path(), tree_->path() + "/b");
  EXPECT_FALSE(cgroup_->open_child("c"));
  put("file", "");
  EXPECT_FALSE(cgroup_->create("file"));
}

TEST_F(FakeCgroup, ChildIsNeverReachedThroughALink) {
  ASSERT_EQ(::symlink("/tmp", (tree_->path() + "/link").c_str()), 0);
  EXPECT_FALSE(cgroup_->open_child("link"));
}

TEST_F(FakeCgroup, AttachWritesThePid) {
  put("cgroup.procs", "");
  ASSERT_TRUE(cgroup_->attach(4711));
  EXPECT_EQ(content("cgroup.procs"), "4711");
}

TEST_F(FakeCgroup, AttachWithoutPermissionSaysWhatIsNeeded) {
  const Result<void> attached = cgroup_->attach(1);
  ASSERT_FALSE(attached);
  EXPECT_THAT(attached.error().message(), HasSubstr(tree_->path()));
  EXPECT_THAT(attached.error().remedy, HasSubstr("inside of the delegated directory"));
}

TEST_F(FakeCgroup, ListsOfIds) {
  put("cgroup.procs", "12\n7\n");
  put("cgroup.threads", "12\n7\n8\n");
  dir("child");
  put("child/cgroup.procs", "5\n7\n");
  dir("bare");
  EXPECT_THAT(cgroup_->processes().value(), ElementsAre(12, 7));
  EXPECT_THAT(cgroup_->threads().value(), ElementsAre(12, 7, 8));
  EXPECT_THAT(cgroup_->subtree_processes().value(), ElementsAre(5, 7, 12));
  put("cgroup.procs", "12\nx\n");
  EXPECT_FALSE(cgroup_->processes());
  EXPECT_FALSE(cgroup_->subtree_processes());
}

TEST_F(FakeCgroup, KillWritesOneToCgroupKill) {
  put("cgroup.kill", "");
  ASSERT_TRUE(cgroup_->kill());
  EXPECT_EQ(content("cgroup.kill"), "1");
}

TEST_F(FakeCgroup, KillOfWhatIsGoneSucceeds) { EXPECT_TRUE(cgroup_->kill()); }

TEST_F(FakeCgroup, WaitEmptyReadsThePopulatedKey) {
  put("cgroup.events", "populated 0\nfrozen 0\n");
  EXPECT_EQ(cgroup_->wait_empty(milliseconds(0)).value(), true);
  EXPECT_EQ(cgroup_->populated().value(), false);
  put("cgroup.events", "populated 1\nfrozen 0\n");
  EXPECT_EQ(cgroup_->wait_empty(milliseconds(5)).value(), false);
  EXPECT_EQ(cgroup_->populated().value(), true);
  put("cgroup.events", "populated\n");
  EXPECT_FALSE(cgroup_->wait_empty(milliseconds(0)));
}

TEST_F(FakeCgroup, FreezeFailsWhereTheProcessesDoNotStop) {
  put("cgroup.freeze", "0");
  put("cgroup.events", "populated 1\nfrozen 0\n");
  const Result<void> frozen = cgroup_->freeze(milliseconds(5));
  ASSERT_FALSE(frozen);
  EXPECT_THAT(frozen.error().message(), HasSubstr("not frozen after 5 ms"));
  EXPECT_EQ(content("cgroup.freeze"), "1");
  put("cgroup.events", "populated 1\nfrozen 1\n");
  EXPECT_TRUE(cgroup_->freeze());
  EXPECT_TRUE(cgroup_->thaw());
  EXPECT_EQ(content("cgroup.freeze"), "0");
}

TEST_F(FakeCgroup, RemoveIsDepthFirstAndIdempotent) {
  dir("job/k8s/pods/one");
  dir("job/hpc");
  const Result<Cgroup> job = cgroup_->open_child("job");
  ASSERT_TRUE(job);
  ASSERT_TRUE(job->remove());
  EXPECT_FALSE(exists(tree_->path() + "/job"));
  EXPECT_TRUE(job->remove());
}

TEST_F(FakeCgroup, RemoveNeverTakesAnotherOfTheSameName) {
  dir("job");
  const Result<Cgroup> old = cgroup_->open_child("job");
  ASSERT_EQ(::rename((tree_->path() + "/job").c_str(), (tree_->path() + "/moved").c_str()), 0);
  dir("job");
  ASSERT_TRUE(old->remove());
  EXPECT_TRUE(exists(tree_->path() + "/job"));
}

TEST_F(FakeCgroup, RemoveOfTheBusyNamesTheDirectory) {
  dir("job/k8s");
  put("job/k8s/file", "");  // a directory that rmdir(2) refuses
  const Result<void> removed = cgroup_->open_child("job")->remove();
  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().message(), HasSubstr("/job/k8s'"));
}

TEST_F(FakeCgroup, TypedValues) {
  put("cpuset.cpus", "0-3,8\n");
  put("memory.max", "max\n");
  put("memory.high", "1048576\n");
  put("cpu.weight", "100\n");
  put("cpu.max", "max 100000\n");
  put("cpu.stat", "usage_usec 12\nuser_usec 5\n");
  EXPECT_EQ(cgroup_->read(value::kCpusetCpus).value(), "0-3,8");
  EXPECT_EQ(cgroup_->read(value::kMemoryMax).value(), Limit{});
  EXPECT_EQ(cgroup_->read(value::kMemoryHigh).value(), Limit(1048576));
  EXPECT_EQ(cgroup_->read(value::kCpuWeight).value(), 100U);
  EXPECT_EQ(cgroup_->read(value::kCpuMax).value(), CpuMax{});
  EXPECT_EQ(cgroup_->read(value::kCpuStat).value().at("usage_usec"), 12U);
  ASSERT_TRUE(cgroup_->write(value::kMemoryHigh, std::nullopt));
  ASSERT_TRUE(cgroup_->write(value::kCpuMax, {std::chrono::microseconds(50000)}));
  EXPECT_THAT(content("memory.high"), testing::StartsWith("max"));
  EXPECT_THAT(content("cpu.max"), testing::StartsWith("50000 100000"));
}

TEST_F(FakeCgroup, ValuesThatAreNoneNameTheFile) {
  put("memory.max", "lots\n");
  put("cpu.max", "max\n");
  const Result<Limit> limit = cgroup_->read(value::kMemoryMax);
  ASSERT_FALSE(limit);
  EXPECT_THAT(limit.error().message(), HasSubstr("memory.max: 'lots' is not a number"));
  EXPECT_FALSE(cgroup_->read(value::kCpuMax));
  EXPECT_FALSE(cgroup_->read(value::kPidsMax));
  EXPECT_FALSE(cgroup_->write(value::kPidsMax, 5));
}

TEST_F(FakeCgroup, ControllersAreListsOfWords) {
  put("cgroup.controllers", "cpuset cpu memory pids\n");
  put("cgroup.subtree_control", "\n");
  EXPECT_THAT(cgroup_->controllers().value(), ElementsAre("cpuset", "cpu", "memory", "pids"));
  EXPECT_THAT(cgroup_->enabled().value(), IsEmpty());
  const Result<EnabledControllers> on = cgroup_->enable({"cpu", "memory"});
  ASSERT_TRUE(on);
  EXPECT_THAT(on->took, ElementsAre("cpu", "memory"));
  EXPECT_EQ(content("cgroup.subtree_control"), "+cpu+memory");  // one write each
}

TEST_F(FakeCgroup, RefusedControllersCarryTheReason) {
  ASSERT_EQ(::symlink("/dev/full", (tree_->path() + "/cgroup.subtree_control").c_str()), 0);
  EXPECT_FALSE(cgroup_->enable({"cpu"}));  // links are not followed
  ASSERT_EQ(::unlink((tree_->path() + "/cgroup.subtree_control").c_str()), 0);
  EXPECT_FALSE(cgroup_->disable({"cpu"}));
}

TEST_F(FakeCgroup, Pressure) {
  EXPECT_EQ(cgroup_->pressure(PressureResource::io)->has_value(), false);
  put("memory.pressure",
      "some avg10=1.50 avg60=0.25 avg300=0.00 total=4711\n"
      "full avg10=0.50 avg60=0.00 avg300=0.00 total=42\n");
  const Result<std::optional<Pressure>> memory = cgroup_->pressure(PressureResource::memory);
  ASSERT_TRUE(memory && *memory);
  EXPECT_DOUBLE_EQ((*memory)->some.avg10, 1.5);
  EXPECT_EQ((*memory)->some.total, std::chrono::microseconds(4711));
  EXPECT_EQ((*memory)->full->total, std::chrono::microseconds(42));
  put("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n");
  EXPECT_FALSE((*cgroup_->pressure(PressureResource::cpu))->full);
  for (const char* bad :
       {"", "some\n", "some avg10=x avg60=0 avg300=0 total=0\n", "some avg10=0 avg60=0 avg300=0\n",
        "full avg10=0 avg60=0 avg300=0 total=0\n"}) {
    put("cpu.pressure", bad);
    EXPECT_FALSE(cgroup_->pressure(PressureResource::cpu)) << bad;
  }
}

}  // namespace
}  // namespace conode
