// SPDX-License-Identifier: Apache-2.0
// The cgroup library against a real cgroup v2 hierarchy, as an ordinary user. Needs a directory
// that is delegated to the user and in which the test runs:
//   mkdir G; chown USER G G/cgroup.procs G/cgroup.subtree_control G/cgroup.threads   (as root)
//   echo $$ > G/cgroup.procs; CONODE_TEST_CGROUP=G setpriv --reuid USER ... cgroup_kernel_test
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <optional>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "cgroup/job_cgroups.h"
#include "cgroup/shared_root.h"
#include "cgroup/signal_kill.h"

namespace conode {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

size_t open_descriptors() {
  return list_dir("/proc/self/fd").value_or(std::vector<std::string>{}).size();
}

// Each test leaves the delegated directory and our descriptors as it found them.
class RealCgroup : public testing::Test {
 protected:
  void SetUp() override {
    const char* directory = std::getenv("CONODE_TEST_CGROUP");
    if (directory == nullptr || *directory == '\0')
      GTEST_SKIP() << "CONODE_TEST_CGROUP names no delegated cgroup v2 directory";
    descriptors_ = open_descriptors();
    top_.emplace(Cgroup::open(directory).value());
    before_ = top_->children().value();
    const std::string name = "t" + std::to_string(::getpid());
    ASSERT_EQ(top_->create(name).value(), true);
    cgroup_.emplace(top_->open_child(name).value());
  }

  void TearDown() override {
    if (!top_) return;
    children_.clear();
    ASSERT_TRUE(cgroup_->kill());
    EXPECT_TRUE(cgroup_->wait_empty(seconds(5)).value());
    EXPECT_TRUE(cgroup_->remove());
    EXPECT_EQ(top_->children().value(), before_);
    cgroup_.reset();
    top_.reset();
    EXPECT_EQ(open_descriptors(), descriptors_);
  }

  // A shell script that starts in `cgroup`; by clone3 with CLONE_INTO_CGROUP.
  Process& start(const Cgroup& cgroup, const std::string& script, int input = -1) {
    ProcessOptions options;
    options.argv = {"/bin/sh", "-c", script};
    options.cgroup = cgroup.fd();
    if (input >= 0) options.fds = {{0, input}};
    children_.push_back(Process::spawn(options).value());
    return children_.back();
  }
  static Cgroup child(const Cgroup& parent, const std::string& name) {
    EXPECT_TRUE(parent.create(name));
    return parent.open_child(name).value();
  }

  std::optional<Cgroup> top_;
  std::optional<Cgroup> cgroup_;  // of this test
  std::deque<Process> children_;  // start() hands out references
  std::vector<std::string> before_;
  size_t descriptors_ = 0;
};

TEST_F(RealCgroup, TheHierarchyIsFoundAndOurOwnCgroupInIt) {
  const auto hierarchy = find_hierarchy().value();
  ASSERT_TRUE(hierarchy);
  EXPECT_TRUE(exists(hierarchy->mount + "/cgroup.controllers"));
  const std::string own = own_cgroup_path().value();
  EXPECT_THAT(own, testing::StartsWith(top_->path()));
  EXPECT_THAT(Cgroup::open(own)->processes().value(), Contains(::getpid()));
}

TEST_F(RealCgroup, TheDelegatedRootIsOurs) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere: run as an ordinary user";
  const auto delegation = find_delegation().value();
  ASSERT_TRUE(delegation);
  EXPECT_EQ(delegation->path, top_->path());
  EXPECT_TRUE(delegation->may_enable);
}

TEST_F(RealCgroup, AttachMovesAndListsProcesses) {
  const Cgroup to = child(*cgroup_, "to");
  const Process& shell = start(*cgroup_, "exec sleep 100");
  ASSERT_TRUE(to.attach(shell.pid()));
  EXPECT_THAT(cgroup_->processes().value(), IsEmpty());
  EXPECT_THAT(to.processes().value(), ElementsAre(shell.pid()));
  EXPECT_THAT(to.threads().value(), ElementsAre(shell.pid()));
  EXPECT_TRUE(to.populated().value());
}

TEST_F(RealCgroup, AttachOfWhatHasEndedIsEsrch) {
  Process& gone = start(*cgroup_, "exit 0");
  ASSERT_TRUE(gone.wait());
  const Result<void> attached = cgroup_->attach(gone.pid());
  ASSERT_FALSE(attached);
  EXPECT_TRUE(attached.error().is(std::errc::no_such_process));
}

TEST_F(RealCgroup, AttachOutOfTheDelegationIsExplained) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may move everything: run as an ordinary user";
  const auto hierarchy = find_hierarchy().value();
  const Result<void> attached = Cgroup::open(hierarchy->mount)->attach(::getpid());
  ASSERT_FALSE(attached);
  EXPECT_TRUE(attached.error().is(std::errc::permission_denied));
  EXPECT_THAT(attached.error().remedy, HasSubstr("inside of the delegated directory"));
}

TEST_F(RealCgroup, KillReachesForksBelowAndRemoveIsDepthFirst) {
  const Cgroup leaf = child(child(*cgroup_, "a"), "b");
  start(leaf, "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait");
  start(*cgroup_, "exec sleep 100");
  const Result<void> busy = cgroup_->remove();
  ASSERT_FALSE(busy);
  EXPECT_TRUE(busy.error().is(std::errc::device_or_resource_busy));
  EXPECT_THAT(busy.error().remedy, HasSubstr("/a/b/cgroup.procs"));
  ASSERT_TRUE(cgroup_->kill());
  EXPECT_TRUE(cgroup_->wait_empty(seconds(5)).value());
  EXPECT_THAT(cgroup_->subtree_processes().value(), IsEmpty());
  ASSERT_TRUE(cgroup_->remove());
  EXPECT_TRUE(cgroup_->remove());
  EXPECT_TRUE(cgroup_->kill());
  EXPECT_TRUE(cgroup_->wait_empty(milliseconds(0)).value());
}

TEST_F(RealCgroup, KillBySignalEndsProcessesThatForkAllTheTime) {
  const Cgroup leaf = child(*cgroup_, "a");
  for (int i = 0; i < 4; ++i) start(leaf, "while :; do /bin/true & /bin/true; done");
  ASSERT_TRUE(kill_by_signal(*cgroup_));
  EXPECT_TRUE(cgroup_->wait_empty(seconds(5)).value());
  EXPECT_EQ(cgroup_->read("cgroup.freeze").value(), "0\n");
}

TEST_F(RealCgroup, WaitEmptyTimesOutAndWakesOnTheLastExit) {
  Process& sleeper = start(*cgroup_, "exec sleep 100");
  EXPECT_FALSE(cgroup_->wait_empty(milliseconds(20)).value());
  std::jthread killer([&] { (void)sleeper.kill(SIGKILL); });
  EXPECT_TRUE(cgroup_->wait_empty(seconds(5)).value());
}

TEST_F(RealCgroup, EventsDescriptorReportsTheFirstProcess) {
  const UniqueFd events = cgroup_->events_fd().value();
  std::array<char, 64> buffer{};
  ASSERT_GT(::pread(events.get(), buffer.data(), buffer.size(), 0), 0);
  pollfd poll_fd{events.get(), POLLPRI, 0};
  EXPECT_EQ(::poll(&poll_fd, 1, 0), 0);
  start(*cgroup_, "exec sleep 100");
  EXPECT_EQ(::poll(&poll_fd, 1, 5000), 1);
}

TEST_F(RealCgroup, FreezeStopsAndThawContinues) {
  std::array<int, 2> fds{};
  ASSERT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
  const UniqueFd input(fds[0]);
  UniqueFd end(fds[1]);
  Process& reader = start(*cgroup_, "read line; exit 4", input.get());
  ASSERT_TRUE(cgroup_->freeze());
  end.reset();
  EXPECT_FALSE(reader.wait_for(milliseconds(30)).value());
  ASSERT_TRUE(cgroup_->thaw());
  EXPECT_EQ(shell_exit_code(reader.wait().value()), 4);
}

TEST_F(RealCgroup, KillReachesTheFrozen) {
  Process& sleeper = start(*cgroup_, "exec sleep 100");
  ASSERT_TRUE(cgroup_->freeze());
  ASSERT_TRUE(cgroup_->kill());
  EXPECT_EQ(shell_exit_code(sleeper.wait().value()), 128 + SIGKILL);
}

TEST_F(RealCgroup, PressureAndValues) {
  const auto cpu = cgroup_->pressure(PressureResource::cpu);
  ASSERT_TRUE(cpu) << cpu.error().message();
  if (*cpu) {
    EXPECT_GE((*cpu)->some.avg10, 0.0);
  }
  EXPECT_EQ(cgroup_->read(value::kType).value(), "domain");
  EXPECT_TRUE(cgroup_->read(value::kCpuStat).value().contains("usage_usec"));
}

TEST_F(RealCgroup, ControllersThatDoNotExistAreRefusedOneByOne) {
  const Result<EnabledControllers> on = cgroup_->enable({"nonsense", "cpuset.cpus"});
  ASSERT_TRUE(on);
  EXPECT_THAT(on->took, IsEmpty());
  ASSERT_EQ(on->refused.size(), 2U);
  EXPECT_THAT(on->refused[0].message(), HasSubstr("'+nonsense'"));
}

TEST_F(RealCgroup, WhatTheDirectoryHasCanBeEnabled) {
  const std::vector<std::string> offered = cgroup_->controllers().value();
  if (offered.empty()) GTEST_SKIP() << "the delegated directory has no controllers";
  EXPECT_EQ(cgroup_->enable(offered)->took, offered);
  EXPECT_THAT(cgroup_->enabled().value(), testing::UnorderedElementsAreArray(offered));
  EXPECT_EQ(cgroup_->disable(offered)->took, offered);
}

// Jobs, below the directory of the test as delegated root.
class RealJob : public RealCgroup {
 protected:
  [[nodiscard]] Delegation delegation() const {
    return {
        .path = cgroup_->path(), .controllers = cgroup_->controllers().value(), .may_enable = true};
  }
};

TEST_F(RealJob, RemoveKillsWhatIsThereByNameAlone) {
  std::string path;
  {
    const JobCgroups job = JobCgroups::create(delegation(), "1", EnforcementLevel::grouped).value();
    path = job.job.path();
    start(child(child(job.k8s, "pods"), "one"), "sleep 100 & wait");
    start(job.hpc, "trap '' TERM; sleep 100 & wait");
  }
  ASSERT_TRUE(JobCgroups::remove(path));
  EXPECT_FALSE(exists(path));
  EXPECT_TRUE(JobCgroups::remove(path));
}

TEST_F(RealJob, TwoJobsDoNotDisturbEachOther) {
  const JobCgroups one = JobCgroups::create(delegation(), "1", EnforcementLevel::grouped).value();
  const JobCgroups two = JobCgroups::create(delegation(), "2", EnforcementLevel::grouped).value();
  start(one.hpc, "exec sleep 100");
  const Process& other = start(two.hpc, "exec sleep 100");
  ASSERT_TRUE(JobCgroups::remove(one.job.path()));
  EXPECT_THAT(two.hpc.processes().value(), ElementsAre(other.pid()));
  EXPECT_FALSE(exists(one.job.path()));
  EXPECT_TRUE(exists(two.job.path()));
  EXPECT_FALSE(JobCgroups::create(delegation(), "2", EnforcementLevel::grouped));
  ASSERT_TRUE(JobCgroups::remove(two.job.path()));
}

TEST_F(RealJob, JobsMayComeAndGoAtTheSameTime) {
  std::vector<std::jthread> agents;
  std::atomic<int> failures = 0;
  for (int agent = 0; agent < 4; ++agent)
    agents.emplace_back([&, agent] {
      for (int round = 0; round < 20; ++round) {
        const auto job = JobCgroups::create(delegation(), std::to_string(agent));
        if (!job || !JobCgroups::remove(job->job.path())) ++failures;
      }
    });
  agents.clear();
  EXPECT_EQ(failures, 0);
  EXPECT_THAT(cgroup_->children().value(), IsEmpty());
}

TEST_F(RealJob, RemoveFromInsideMovesTheCallerOut) {
  const JobCgroups job = JobCgroups::create(delegation(), "1", EnforcementLevel::grouped).value();
  const pid_t agent = ::fork();
  if (agent == 0) {
    const bool in = job.agent.attach(::getpid()).has_value();
    ::_exit(in && JobCgroups::remove(job.job.path()) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(agent, &status, 0), agent);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(exists(job.job.path()));
}

// With whatever controllers there are: home is made, used, and goes with the last job.
TEST_F(RealJob, HomeTakesTheProcessesOfTheRootAndGivesThemBack) {
  if (cgroup_->controllers()->empty()) GTEST_SKIP() << "the delegated directory has no controllers";
  const Process& shell = start(*cgroup_, "exec sleep 100");
  {
    const SharedRoot shared = SharedRoot::lock(*cgroup_).value();
    ASSERT_THAT(shared.enable_controllers()->refused, IsEmpty());
    EXPECT_THAT(cgroup_->open_child(kHomeName)->processes().value(), ElementsAre(shell.pid()));
    EXPECT_THAT(cgroup_->processes().value(), IsEmpty());
    const Cgroup job = child(*cgroup_, "conode.1");
    const Process& agent = start(job, "exec sleep 100");
    ASSERT_TRUE(shared.settle());  // a job is there: nothing changes
    EXPECT_THAT(cgroup_->enabled().value(), testing::Not(IsEmpty()));
    ASSERT_TRUE(shared.take_in(agent.pid()));
    ASSERT_TRUE(job.remove());
    ASSERT_TRUE(shared.settle());
    EXPECT_THAT(cgroup_->processes().value(),
                testing::UnorderedElementsAre(shell.pid(), agent.pid()));
  }
  EXPECT_THAT(cgroup_->enabled().value(), IsEmpty());
  EXPECT_FALSE(exists(kHomeName, cgroup_->fd()));
}

TEST_F(RealJob, LevelControllersIsWhatItSays) {
  const Delegation root = delegation();
  const JobCgroups job = JobCgroups::create(root, "1", EnforcementLevel::controllers).value();
  EXPECT_EQ(job.level, root.level());
  if (job.level == EnforcementLevel::controllers) {
    EXPECT_TRUE(job.k8s.write(value::kPidsMax, 1000));
    EXPECT_EQ(job.k8s.read(value::kPidsMax).value(), Limit(1000));
    EXPECT_TRUE(job.hpc.read(value::kCpusetCpusEffective));
  } else {
    EXPECT_THAT(job.missing, testing::Not(IsEmpty()));
    EXPECT_FALSE(job.k8s.read(value::kPidsMax));
  }
  ASSERT_TRUE(JobCgroups::remove(job.job.path()));
  EXPECT_THAT(cgroup_->children().value(), IsEmpty());
}

}  // namespace
}  // namespace conode
