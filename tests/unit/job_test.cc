// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/base/temp_dir.h"
#include "agent/job/cleanup.h"
#include "agent/job/hpc_part.h"
#include "agent/job/job_dir.h"
#include "agent/job/life_cycle.h"
#include "agent/job/log_rotation.h"

namespace conode::job {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Instance example() {
  Instance i;
  i.job = "42";
  i.instance = "test-instance-" + std::to_string(::getpid());
  i.hpc_cpus = "0";
  i.k8s_cpus = "1";
  return i;
}

TEST(LifeCycle, EndsInEndedFromEverywhere) {
  for (const Event event : {Event::stop_requested, Event::sandbox_lost})
    for (const State state : {State::starting, State::running}) {
      const auto stop = next(state, event);
      ASSERT_TRUE(stop);
      EXPECT_EQ(stop->to, State::stopping);
      EXPECT_EQ(next(stop->to, Event::cleaned)->to, State::ended);
    }
}

TEST(LifeCycle, AFailedServiceEndsTheBringUpButNotARunningJob) {
  EXPECT_EQ(next(State::starting, Event::service_failed)->to, State::stopping);
  EXPECT_EQ(next(State::running, Event::service_failed)->to, State::running);
  EXPECT_FALSE(next(State::stopping, Event::service_failed));
}

TEST(InstanceFile, IsReadBack) {
  const Instance read = instance_from_json(to_json(example())).value();
  EXPECT_EQ(read.job, "42");
  EXPECT_EQ(read.hpc_cpus, "0");
  EXPECT_FALSE(instance_from_json("{}"));
  EXPECT_FALSE(instance_from_json("no json"));
}

TEST(Cleanup, TheRecordStaysWhileSomethingLives) {
  const TempDir base = TempDir::create().value();
  {
    const JobDir dir = JobDir::create(base.path(), "42").value();
    Instance instance = example();
    instance.cgroup = base.path() + "/no/cgroup";  // cannot be removed as one
    ASSERT_TRUE(dir.write(instance));
  }
  const auto first = sweep(base.path(), {}).value();
  EXPECT_THAT(first.failures, SizeIs(1));
  const std::string path = base.path() + "/42";
  EXPECT_TRUE(exists(path + "/instance.json"));
  EXPECT_FALSE(exists(path + "/log"));
}

TEST(Cleanup, ARecordThatCannotBeReadIsNotThrownAway) {
  const TempDir base = TempDir::create().value();
  { const JobDir dir = JobDir::create(base.path(), "42").value(); }
  ASSERT_TRUE(replace_file(base.path() + "/42/instance.json", "{"));
  const auto swept = sweep(base.path(), {}).value();
  ASSERT_THAT(swept.failures, SizeIs(1));
  EXPECT_THAT(swept.failures[0].message(), HasSubstr("instance.json"));
  EXPECT_TRUE(exists(base.path() + "/42/log"));
}

TEST(LogRotation, KeepsWhatIsOldOnceAndTheWritersFile) {
  const TempDir dir = TempDir::create().value();
  const std::string log = dir.path() + "/kubelet.log";
  const UniqueFd writer =
      open_at(AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600).value();  // as a service's
  for (const std::string line : {"first", "second"}) {
    ASSERT_TRUE(write_all(writer.get(), line, "log"));
    ASSERT_TRUE(rotate_logs(dir.path(), 4));
    EXPECT_EQ(read_file(log).value(), "");
    EXPECT_EQ(read_file(log + ".1").value(), line);
  }
  ASSERT_TRUE(write_all(writer.get(), "more", "log"));
  ASSERT_TRUE(rotate_logs(dir.path(), 4));
  EXPECT_EQ(read_file(log).value(), "more");
}

TEST(LogRotation, LeavesOtherFilesAloneAndTellsOfADirectoryThatIsGone) {
  const TempDir dir = TempDir::create().value();
  ASSERT_TRUE(replace_file(dir.path() + "/state.db", "long enough"));
  ASSERT_TRUE(rotate_logs(dir.path(), 4));
  EXPECT_EQ(list_dir(dir.path()).value(), std::vector<std::string>{"state.db"});
  EXPECT_FALSE(rotate_logs(dir.path() + "/none", 4));
}

TEST(JobName, IsPartOfPathsAndCgroups) {
  for (const char* good : {"42", "a", "4711.server_x-1"}) EXPECT_TRUE(check_job_name(good));
  for (const char* bad : {"", "../x", "a/b", ".hidden", "-x", "a b"})
    EXPECT_FALSE(check_job_name(bad)) << bad;
  EXPECT_FALSE(check_job_name(std::string(49, 'x')));
}

TEST(JobDir, IsHeldByOneAndFoundByAll) {
  const TempDir base = TempDir::create().value();
  {
    const JobDir dir = JobDir::create(base.path(), "42").value();
    ASSERT_TRUE(dir.write(example()));
    EXPECT_THAT(JobDir::create(base.path(), "42").error().message(), HasSubstr("running already"));
    const auto found = find_jobs(base.path()).value();
    ASSERT_THAT(found, SizeIs(1));
    EXPECT_TRUE(found[0].alive);
    EXPECT_EQ(found[0].instance->job, "42");
  }
  EXPECT_FALSE(find_jobs(base.path()).value()[0].alive);
  EXPECT_THAT(find_jobs("/nonexistent/base").value(), IsEmpty());
}

TEST(JobDir, IsTakenOnlyFromTheDead) {
  const TempDir base = TempDir::create().value();
  {
    const JobDir dir = JobDir::create(base.path(), "42").value();
    EXPECT_FALSE(take_dead(base.path(), "42").value());
  }
  const auto dead = take_dead(base.path(), "42").value();
  ASSERT_TRUE(dead);
  EXPECT_THAT(JobDir::create(base.path(), "42").error().message(), HasSubstr("running already"));
  EXPECT_FALSE(take_dead(base.path(), "42").value()) << "somebody else has it";
  EXPECT_FALSE(take_dead(base.path(), "43").value()) << "there is none";
}

TEST(JobDir, ALockThatCannotBeReadIsNoProofOfDeath) {
  const TempDir base = TempDir::create().value();
  { ASSERT_TRUE(JobDir::create(base.path(), "42")); }
  const std::string lock = base.path() + "/42/lock";
  ASSERT_EQ(::unlink(lock.c_str()), 0);
  ASSERT_EQ(::symlink("/nonexistent", lock.c_str()), 0);
  EXPECT_FALSE(find_jobs(base.path()));
  EXPECT_FALSE(take_dead(base.path(), "42"));
  EXPECT_TRUE(exists(base.path() + "/42"));
}

TEST(JobDir, ManyWhoStartAndSweepAtOnceDoNotDisturbEachOther) {
  const TempDir base = TempDir::create().value();
  std::atomic<int> started = 0;
  std::atomic<int> destroyed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, name = std::to_string(i)] {
      for (int round = 0; round < 50; ++round) {
        const Result<JobDir> dir = JobDir::create(base.path(), name);  // or its end is being swept
        (void)sweep(base.path(), "/nonexistent");
        if (!dir) continue;
        ++started;
        if (!exists(dir->path() + "/lock") || !exists(dir->path() + "/log")) ++destroyed;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(started, 8);
  EXPECT_EQ(destroyed, 0);
}

TEST(StateBase, OfSomebodyElseIsNotBelieved) {
  const TempDir dir = TempDir::create().value();
  ASSERT_TRUE(prepare_base(dir.path() + "/real", false));
  ASSERT_EQ(::symlink((dir.path() + "/real").c_str(), (dir.path() + "/link").c_str()), 0);
  EXPECT_FALSE(find_jobs(dir.path() + "/link"));
  EXPECT_FALSE(sweep(dir.path() + "/link", "/nonexistent"));
}

TEST(StateBase, NetworkFileSystemsAreKnown) {
  EXPECT_STREQ(network_file_system(0x6969), "NFS");
  EXPECT_STREQ(network_file_system(0x0BD00BD0), "Lustre");
  EXPECT_EQ(network_file_system(0xEF53), nullptr) << "ext4";
}

TEST(StateBase, SocketsHaveToFit) {
  EXPECT_TRUE(check_path_length("/tmp/conode-1000", "slurm-123456"));
  EXPECT_THAT(check_path_length("/" + std::string(80, 'x'), "job").error().message(),
              HasSubstr("too many"));
}

TEST(StateBase, MustBeOurOwnDirectory) {
  const TempDir dir = TempDir::create().value();
  EXPECT_TRUE(prepare_base(dir.path() + "/new", false));
  EXPECT_FALSE(prepare_base("relative/path", false));
  ASSERT_EQ(::symlink(dir.path().c_str(), (dir.path() + "/link").c_str()), 0);
  EXPECT_FALSE(prepare_base(dir.path() + "/link", false));
}

TEST(Sweep, EndsMarkedProcessesAndRemovesTheDirectory) {
  const TempDir base = TempDir::create().value();
  const Instance instance = example();
  { ASSERT_TRUE(JobDir::create(base.path(), "42").value().write(instance)); }
  Process stray =
      Process::spawn({.argv = {"sleep", "1000"},
                      .environment = {{"PATH=/usr/bin:/bin", "CONODE_PART=" + instance.instance}}})
          .value();
  Process other =
      Process::spawn(
          {.argv = {"sleep", "1000"},
           .environment = {{"PATH=/usr/bin:/bin", "CONODE_PART=" + instance.instance + "x"}}})
          .value();
  const SweepReport report = sweep(base.path(), "/nonexistent").value();
  EXPECT_THAT(report.removed, SizeIs(1));
  EXPECT_EQ(shell_exit_code(stray.wait().value()), 128 + SIGTERM);
  EXPECT_FALSE(other.wait_for(milliseconds(0)).value());
  EXPECT_THAT(audit({"42", base.path() + "/42", false, instance}), IsEmpty());
}

TEST(Sweep, LeavesARunningJobAlone) {
  const TempDir base = TempDir::create().value();
  const JobDir dir = JobDir::create(base.path(), "42").value();
  const SweepReport report = sweep(base.path(), "/nonexistent").value();
  EXPECT_THAT(report.alive, SizeIs(1));
  EXPECT_TRUE(exists(dir.path()));
}

TEST(Audit, NamesWhatIsLeft) {
  const TempDir base = TempDir::create().value();
  const Instance instance = example();
  const Process stray =
      Process::spawn({.argv = {"sleep", "1000"},
                      .environment = {{"PATH=/usr/bin:/bin", "CONODE_PART=" + instance.instance}}})
          .value();
  const auto left = audit({"42", base.path(), false, instance});
  ASSERT_THAT(left, SizeIs(2));
  EXPECT_THAT(left[0], HasSubstr(base.path()));
  EXPECT_THAT(left[1], HasSubstr("sleep"));
}

TEST(HpcPart, TellsSlurmAndKubectl) {
  Instance instance = example();
  instance.hpc_cpus = "4-7";
  const auto env = part_environment(instance, "/tmp/conode-1/42");
  EXPECT_EQ(env.at("SLURM_CPU_BIND"), "mask_cpu:0xf0");
  EXPECT_EQ(env.at("KUBECONFIG"), "/tmp/conode-1/42/kubeconfig");
  EXPECT_EQ(env.at("CONODE_STATE_DIR"), "/tmp/conode-1");
}

TEST(ProcessStartTime, TellsAReusedPid) {
  EXPECT_TRUE(process_start_time(::getpid()));
  EXPECT_FALSE(process_start_time(0));
}

}  // namespace
}  // namespace conode::job
