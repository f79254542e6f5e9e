// SPDX-License-Identifier: Apache-2.0
// conode-hook delegate and cleanup in a real cgroup v2 hierarchy: as root of a user namespace with
// subordinate ids, in directories named as Slurm names them. And what nobody gets by it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/pipe.h"
#include "agent/base/temp_dir.h"
#include "batch_hooks/hook/record.h"
#include "batch_hooks/hook/sweep_as_user.h"
#include "cgroup/cgroup.h"
#include "cgroup/delegation.h"
#include "cgroup/hierarchy.h"
#include "tests/support/vxlan_world.h"

namespace conode::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A process of a user's that waits in a cgroup.
class Task {
 public:
  Task(const Cgroup& cgroup, uid_t user) {
    pid_ = ::fork();
    if (pid_ == 0) {
      if (::setresuid(user, user, user) != 0) ::_exit(1);
      for (;;) ::pause();
    }
    EXPECT_TRUE(cgroup.attach(pid_));
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { end(); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void end() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

class Hook : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Result<void> root = become_root_of_hosts();
    ASSERT_TRUE(root) << root.error().message();
    ::umask(022);  // as a batch system's daemon: all may pass through its directories
  }
  void SetUp() override {
    const char* directory = std::getenv("CONODE_TEST_CGROUP");
    if (directory == nullptr || *directory == '\0')
      GTEST_SKIP() << "CONODE_TEST_CGROUP names no delegated cgroup v2 directory";
    scope_ = directory;
    if (scope_.ends_with('/')) scope_.pop_back();  // the root's
    scope_ += "/n1_slurmstepd.scope";
    for (const char* job : {"job_17", "job_18"})
      ASSERT_TRUE(make_dirs(fmt::format("{}/{}/step_0/user/task_0", scope_, job), 0755));
    runs_.emplace(TempDir::create_in("/run", "hooks").value());
  }
  void TearDown() override {
    if (scope_.empty()) return;
    const Cgroup scope = Cgroup::open(scope_).value();
    ASSERT_TRUE(scope.kill());
    EXPECT_TRUE(scope.wait_empty(std::chrono::seconds(5)).value());
    EXPECT_TRUE(scope.remove());
  }

  [[nodiscard]] std::string job(int id = 17) const { return fmt::format("{}/job_{}", scope_, id); }
  [[nodiscard]] std::string given(int id = 17) const { return job(id) + "/conode"; }
  [[nodiscard]] Cgroup task(int id = 17) const {
    return Cgroup::open(job(id) + "/step_0/user/task_0").value();
  }
  [[nodiscard]] std::string run_dir() const { return runs_->path() + "/conode"; }

  // Both streams, also as the failure's text.
  [[nodiscard]] Result<std::string> hook(std::vector<std::string> arguments) const {
    std::vector<std::string> argv{"/bin/sh", "-c", "\"$0\" \"$@\" 2>&1 || echo FAILED",
                                  CONODE_HOOK};
    arguments.insert(arguments.end(), {"--run-dir", run_dir()});
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    std::string said = TRY(command_output(argv));
    if (said.ends_with("FAILED\n")) return failure(said);
    return said;
  }
  [[nodiscard]] Result<std::string> delegate(pid_t pid, const std::string& id = "17",
                                             uid_t user = kJobUser) const {
    return hook({"delegate", "--job", id, "--uid", std::to_string(user), "--gid",
                 std::to_string(user), "--pid", std::to_string(pid)});
  }
  [[nodiscard]] Result<std::string> cleanup(const std::string& id = "17") const {
    return hook({"cleanup", "--job", id});
  }

  std::string scope_;
  std::optional<TempDir> runs_;
};

uid_t owner(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_uid : static_cast<uid_t>(-1);
}

TEST_F(Hook, GivesThePartAndNothingElse) {
  const Task running(task(), kJobUser);
  const Result<std::string> said = delegate(running.pid());
  ASSERT_TRUE(said) << said.error().message();
  EXPECT_THAT(*said, HasSubstr("job 17: made " + given()));
  for (const char* file : {"", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"})
    EXPECT_EQ(owner(given() + file), kJobUser) << file;
  EXPECT_EQ(owner(job() + "/cgroup.procs"), kJobUser);
  for (const std::string& kept :
       {job(), job() + "/cgroup.subtree_control", job() + "/step_0/user/task_0/cgroup.procs",
        scope_ + "/cgroup.procs", job(18) + "/cgroup.procs", given() + "/cgroup.max.depth"})
    EXPECT_EQ(owner(kept), 0U) << kept;
  const Result<std::string> again = delegate(running.pid());
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_THAT(*again, HasSubstr("there is"));
}

TEST_F(Hook, TheUserMovesThereAndNowhereElse) {
  ASSERT_TRUE(delegate(Task(task(), kJobUser).pid()));
  ASSERT_TRUE(delegate(Task(task(18), kOtherUser).pid(), "18", kOtherUser));
  // Whoever is to move has to be in the job.
  const Cgroup from = task();
  const Result<std::string> moved = run_as(0, [&]() -> Result<std::string> {
    TRY(from.attach(0));
    if (::setresuid(kJobUser, kJobUser, kJobUser) != 0) return errno_failure("setresuid");
    for (const std::string& foreign :
         {given(18), job(18) + "/step_0/user/task_0", job() + "/step_0", scope_})
      if (write_value(foreign + "/cgroup.procs", "0")) return failure("moved to " + foreign);
    if (make_dir(job() + "/mine")) return failure("made a directory beside it");
    if (write_value(given(18) + "/cgroup.kill", "1")) return failure("killed another job");
    TRY(write_value(given() + "/cgroup.procs", "0"));
    TRY(make_dir(given() + "/agent"));
    TRY(write_value(given() + "/agent/cgroup.procs", "0"));
    return cgroup_of(0).value().value_or("");
  });
  ASSERT_TRUE(moved) << moved.error().message();
  EXPECT_THAT(*moved, HasSubstr("/job_17/conode/agent"));
}

TEST_F(Hook, TakesBackWhatIsLeftAndSaysWhatWasUsed) {
  const Task running(task(), kJobUser);
  ASSERT_TRUE(delegate(running.pid()));
  ASSERT_TRUE(make_dirs(given() + "/conode.17/k8s/pods"));
  const Task left(Cgroup::open(given() + "/conode.17/k8s/pods").value(), kJobUser);
  const Result<std::string> said = cleanup();
  ASSERT_TRUE(said) << said.error().message();
  EXPECT_THAT(*said, HasSubstr("job 17: conode used 0."));
  int status = 0;
  EXPECT_EQ(::waitpid(left.pid(), &status, 0), left.pid());
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(exists(given()));
  EXPECT_EQ(::kill(running.pid(), 0), 0);  // Slurm's
  EXPECT_THAT(list_dir(run_dir()).value(), IsEmpty());
  EXPECT_TRUE(cleanup());
}

TEST_F(Hook, RemovesTheJobsDirectoryWhereNothingElseIsInIt) {
  Task running(task(), kJobUser);
  ASSERT_TRUE(delegate(running.pid()));
  running.end();  // of step_0 only directories are left, as where its slurmstepd was killed
  ASSERT_TRUE(cleanup());
  EXPECT_FALSE(exists(job()));
}

TEST_F(Hook, StepsWithProcessesAndSlurmsOwnStepStay) {
  Task ended(task(), kJobUser);
  ASSERT_TRUE(delegate(ended.pid()));
  ended.end();
  ASSERT_TRUE(make_dirs(job() + "/step_1/user/task_0", 0755));
  const Task running(Cgroup::open(job() + "/step_1/user/task_0").value(), kJobUser);
  ASSERT_TRUE(make_dirs(job() + "/step_extern/user/task_special", 0755));
  ASSERT_TRUE(cleanup());
  EXPECT_FALSE(exists(job() + "/step_0"));
  EXPECT_TRUE(exists(job() + "/step_1/user/task_0"));
  EXPECT_TRUE(exists(job() + "/step_extern/user/task_special"));
  EXPECT_EQ(::kill(running.pid(), 0), 0);
}

TEST_F(Hook, CleansUpAfterJobsThatNobodyHasCleanedUpAfter) {
  Task forgotten(task(18), kJobUser);
  ASSERT_TRUE(delegate(forgotten.pid(), "18"));
  const Task running(task(), kJobUser);
  ASSERT_TRUE(delegate(running.pid()));
  ASSERT_TRUE(cleanup());
  EXPECT_TRUE(exists(given(18)));  // somebody still runs in it
  forgotten.end();
  ASSERT_TRUE(cleanup());
  EXPECT_FALSE(exists(given(18)));
  EXPECT_THAT(list_dir(run_dir()).value(), IsEmpty());
}

TEST_F(Hook, ADryRunChangesNothing) {
  const Task running(task(), kJobUser);
  const Result<std::string> would = hook({"delegate", "--dry-run", "--job", "17", "--uid", "1000",
                                          "--gid", "1000", "--pid", std::to_string(running.pid())});
  ASSERT_TRUE(would);
  EXPECT_THAT(*would, HasSubstr("make " + given()));
  EXPECT_FALSE(exists(given()));
  EXPECT_FALSE(exists(run_dir()));
  ASSERT_TRUE(delegate(running.pid()));
  const Result<std::string> clean = hook({"cleanup", "--dry-run", "--job", "17"});
  ASSERT_TRUE(clean);
  EXPECT_THAT(*clean, HasSubstr("kill who is in " + given()));
  EXPECT_TRUE(exists(given()));
}

// What an attacker could have prepared, and what a batch system could get wrong.
TEST_F(Hook, AForeignCgroupIsNotGivenAway) {
  const Task other(task(18), kOtherUser);
  EXPECT_THAT(delegate(other.pid()).error().message(),
              HasSubstr("find the cgroup of job 'job_17'"));
  Task gone(task(), kJobUser);
  const pid_t pid = gone.pid();
  gone.end();
  EXPECT_FALSE(delegate(pid));  // whoever has that pid next is in another cgroup
  EXPECT_FALSE(delegate(::getpid()));
  EXPECT_FALSE(exists(given()));
}

TEST_F(Hook, WhatIsSomebodyElsesStaysHis) {
  const Task running(task(), kJobUser);
  ASSERT_TRUE(make_dir(given(), 0755));
  ASSERT_EQ(::chown(given().c_str(), kOtherUser, kOtherUser), 0);
  EXPECT_THAT(delegate(running.pid()).error().message(), HasSubstr("it is user 1001's"));
  EXPECT_EQ(owner(given()), kOtherUser);
  ASSERT_EQ(::rmdir(given().c_str()), 0);
  ASSERT_EQ(::chown(job().c_str(), kJobUser, kJobUser), 0);
  EXPECT_THAT(delegate(running.pid()).error().message(), HasSubstr("not its caller's own"));
}

TEST_F(Hook, IdsThatAreNoNamesAreRefused) {
  const Task running(task(), kJobUser);
  for (const char* id : {"../17", "17/step_0", "", ".", "-17", "17 18"}) {
    EXPECT_FALSE(delegate(running.pid(), id)) << id;
    EXPECT_FALSE(cleanup(id)) << id;
  }
  EXPECT_FALSE(hook({"delegate", "--job", "17", "--uid", "1000", "--gid", "1000", "--pid",
                     std::to_string(running.pid()), "--cgroup-name", "../../x"}));
  EXPECT_THAT(delegate(running.pid(), "17", 0).error().message(), HasSubstr("root needs no"));
}

TEST_F(Hook, ALinkInTheWayOfItsOwnDirectoryIsRefused) {
  const Task running(task(), kJobUser);
  const std::string elsewhere = runs_->path() + "/elsewhere";
  ASSERT_TRUE(make_dir(elsewhere));
  ASSERT_EQ(::symlink(elsewhere.c_str(), run_dir().c_str()), 0);
  EXPECT_FALSE(delegate(running.pid()));
  EXPECT_TRUE(cleanup());  // and says so, but takes no node out of service
  EXPECT_THAT(list_dir(elsewhere).value(), IsEmpty());
  EXPECT_FALSE(exists(given()));
}

TEST_F(Hook, ADamagedRecordIsNoReasonToFail) {
  ASSERT_TRUE(make_dirs(run_dir() + "/17", 0755));
  ASSERT_TRUE(replace_file(run_dir() + "/17/delegated", "1000 1000 /etc/../..\n"));
  const Result<std::string> said = cleanup();
  ASSERT_TRUE(said) << said.error().message();
  EXPECT_THAT(*said, HasSubstr("read the record of job '17'"));
}

TEST_F(Hook, UsersOfTheSystemAndNobodyGetNothing) {
  const Task running(task(), kJobUser);
  for (const uid_t user : {uid_t{4}, uid_t{65534}, ~uid_t{0}})
    EXPECT_FALSE(delegate(running.pid(), "17", user)) << user;
  EXPECT_FALSE(exists(given()));
}

// It is the batch system's, too: but the hook would take any name for a job's.
TEST_F(Hook, NoNameOfTheTreeIsTakenForAJob) {
  const Task running(task(), kJobUser);
  for (const char* name : {"n1_slurmstepd.scope", "step_0", "user", "slurmd.service"})
    EXPECT_FALSE(hook({"delegate", "--job", "1", "--uid", "1000", "--gid", "1000", "--pid",
                       std::to_string(running.pid()), "--cgroup-name", name}))
        << name;
  EXPECT_EQ(owner(scope_ + "/cgroup.procs"), 0U);
}

TEST_F(Hook, TheUserCannotMakeCleanUpLong) {
  const Task running(task(), kJobUser);
  ASSERT_TRUE(delegate(running.pid()));
  for (const char* file : {"/cgroup.max.depth", "/cgroup.max.descendants"})
    EXPECT_EQ(owner(given() + file), 0U) << file;
  const std::string top = given();
  const Result<std::string> made = run_as(kJobUser, [&]() -> Result<std::string> {
    std::string path = top;
    for (int depth = 0; depth < 1000; ++depth) {
      path += "/d";
      if (!make_dir(path)) return std::to_string(depth);
    }
    return failure("1000 levels");
  });
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(*made, "32");
  ASSERT_TRUE(cleanup());
  EXPECT_FALSE(exists(given()));
}

// Slurm's slurmd, for one, reads what hooks print from a pipe, and may go.
TEST_F(Hook, CleansUpWhenNobodyListens) {
  const Task running(task(), kJobUser);
  ASSERT_TRUE(delegate(running.pid()));
  Pipe pipe = make_pipe().value();
  pipe.out.reset();
  Result<Process> hook =
      Process::spawn({.argv = {CONODE_HOOK, "cleanup", "--job", "17", "--run-dir", run_dir()},
                      .fds = {{1, pipe.in.get()}, {2, pipe.in.get()}}});
  ASSERT_TRUE(hook);
  EXPECT_EQ(shell_exit_code(hook->wait().value()), 0);
  EXPECT_FALSE(exists(given()));
}

TEST_F(Hook, DoesNotWaitForEverForAnotherHook) {
  const Task running(task(), kJobUser);
  {
    const Result<HookDirectory> busy = HookDirectory::open(run_dir());
    ASSERT_TRUE(busy);
    EXPECT_FALSE(hook({"cleanup", "--job", "17", "--time-limit", "1"}));
    EXPECT_FALSE(hook({"delegate", "--job", "17", "--uid", "1000", "--gid", "1000", "--pid",
                       std::to_string(running.pid()), "--time-limit", "1"}));
  }
  EXPECT_TRUE(delegate(running.pid()));
}

// What runs as the user is his: it may stay, and hold what it has got.
class Sweep : public Hook {
 protected:
  // Runs in place of `conode`.
  Result<hook::SweepOutcome> sweep(const std::string& script, uid_t user = kJobUser) {
    const std::string program = programs_->path() + "/conode";
    EXPECT_TRUE(replace_file(program, "#!/bin/sh\n" + script, 0755));
    EXPECT_EQ(::chmod(programs_->path().c_str(), 0755), 0);
    return hook::sweep_as_user(program, "17", user, user, std::chrono::seconds(2));
  }
  Result<TempDir> programs_ = TempDir::create_in("/run", "sweep");  // which all may pass
};

TEST_F(Sweep, RunsAsTheUserWithNothingOfOurs) {
  const UniqueFd open(::open("/etc/passwd", O_RDONLY));  // without O_CLOEXEC
  const Result<hook::SweepOutcome> done =
      sweep("echo $*; id -u; id -G; pwd; ls /proc/self/fd | wc -l; env | grep -c HOME");
  ASSERT_FALSE(done);  // grep finds nothing: 1
  EXPECT_THAT(done.error().message(), HasSubstr("sweep --job=17 1000 1000 / 4 0 "));
}

TEST_F(Sweep, NobodyOfItStays) {
  const auto before = std::chrono::steady_clock::now();
  const Result<hook::SweepOutcome> done =
      sweep("setsid sleep 1000 & echo $!; cat /proc/self/cgroup");
  ASSERT_TRUE(done) << done.error().message();
  ASSERT_TRUE(done->contained);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(2));
  EXPECT_THAT(done->said, HasSubstr("/conode-sweep."));
  const pid_t stayed = std::stoi(done->said);
  ASSERT_GT(stayed, 1);
  while (::waitpid(stayed, nullptr, 0) < 0 && errno == EINTR) {
  }
  EXPECT_EQ(::kill(stayed, 0), -1);
  const std::vector<std::string> left = list_dir(own_cgroup_path().value()).value();
  for (const std::string& name : left) EXPECT_FALSE(name.starts_with("conode-sweep")) << name;
}

TEST_F(Sweep, EndsInTimeWhateverItDoes) {
  const Result<hook::SweepOutcome> slow = sweep("exec sleep 1000");
  EXPECT_EQ(slow.error().code, std::errc::timed_out);
  const Result<hook::SweepOutcome> loud = sweep("exec yes");
  EXPECT_EQ(loud.error().code, std::errc::timed_out);
  EXPECT_LT(loud.error().message().size(), 5000U);
  EXPECT_THAT(sweep("exit 3").error().message(), HasSubstr("exit code 3"));
  EXPECT_FALSE(sweep("id", 0));
  EXPECT_FALSE(sweep("id", ~uid_t{0}));
}

// PBS on cgroup v2: a job's processes are in pbs.service, all jobs' together.
class NoJobCgroup : public Hook {
 protected:
  void SetUp() override {
    Hook::SetUp();
    if (IsSkipped()) return;
    service_ = scope_ + "/pbs.service";
    ASSERT_TRUE(make_dirs(service_, 0755));
    const CgroupHierarchy hierarchy = find_hierarchy().value().value();
    top_ = (hierarchy.root == "/" ? "" : hierarchy.root) + scope_.substr(hierarchy.mount.size());
  }
  [[nodiscard]] std::string made() const { return scope_ + "/conode_jobs/job_12.server"; }
  [[nodiscard]] Result<std::string> launch(pid_t pid) const {
    return hook({"delegate", "--job", "12.server", "--uid", std::to_string(kJobUser), "--gid",
                 std::to_string(kJobUser), "--pid", std::to_string(pid), "--make-in", top_});
  }
  [[nodiscard]] std::string where(pid_t pid) const {
    return cgroup_of(pid).value().value().substr(top_.size());
  }

  std::string service_;
  std::string top_;  // as /proc/<pid>/cgroup has it
};

TEST_F(NoJobCgroup, OneIsMadeForAllOfItsProcesses) {
  const Cgroup service = Cgroup::open(service_).value();
  const Task shell(service, kJobUser);
  const Task other(service, kOtherUser);
  const Result<std::string> said = launch(shell.pid());
  ASSERT_TRUE(said) << said.error().message();
  EXPECT_EQ(where(shell.pid()), "/conode_jobs/job_12.server/task");
  EXPECT_EQ(where(other.pid()), "/pbs.service");
  EXPECT_EQ(owner(made()), 0U);
  EXPECT_EQ(owner(made() + "/task/cgroup.procs"), 0U);
  EXPECT_EQ(owner(made() + "/conode/cgroup.procs"), kJobUser);
  const Task spawned(service, kJobUser);  // by tm_spawn
  ASSERT_TRUE(launch(spawned.pid()));
  EXPECT_EQ(where(spawned.pid()), "/conode_jobs/job_12.server/task");
}

TEST_F(NoJobCgroup, AllGoesWithTheJob) {
  const Cgroup service = Cgroup::open(service_).value();
  Task other(service, kOtherUser);
  Task shell(service, kJobUser);
  ASSERT_TRUE(launch(shell.pid()));
  const Result<std::string> done = cleanup("12.server");
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_FALSE(exists(scope_ + "/conode_jobs"));
  EXPECT_FALSE(exists(run_dir() + "/12.server"));
  EXPECT_EQ(::kill(other.pid(), 0), 0);
  EXPECT_THAT(service.processes().value(), ElementsAre(other.pid()));
}

TEST_F(NoJobCgroup, OneThatTheBatchSystemHasMadeIsTaken) {
  for (const char* name : {"job_12.server", "12.server"}) {
    const std::string job = service_ + "/" + name;
    ASSERT_TRUE(make_dirs(job + "/task", 0755));
    const Task shell(Cgroup::open(job + "/task").value(), kJobUser);
    ASSERT_TRUE(launch(shell.pid()));
    EXPECT_EQ(where(shell.pid()), fmt::format("/pbs.service/{}/task", name));
    EXPECT_EQ(owner(job + "/conode"), kJobUser);
    EXPECT_FALSE(exists(scope_ + "/conode_jobs"));
    ASSERT_TRUE(cleanup("12.server"));
    EXPECT_EQ(::kill(shell.pid(), 0), 0);
  }
}

TEST_F(NoJobCgroup, ADirectoryOfSomebodyElsesIsNotUsed) {
  ASSERT_TRUE(make_dirs(scope_ + "/conode_jobs", 0755));
  ASSERT_EQ(::chown((scope_ + "/conode_jobs").c_str(), kOtherUser, kOtherUser), 0);
  const Task shell(Cgroup::open(service_).value(), kJobUser);
  const Result<std::string> said = launch(shell.pid());
  ASSERT_FALSE(said);
  EXPECT_THAT(said.error().message(), HasSubstr("it is user"));
  EXPECT_EQ(where(shell.pid()), "/pbs.service");
}

// What is left of a task that ended before its hook looked.
TEST_F(NoJobCgroup, InitIsNotMoved) {
  const std::string before = cgroup_of(1).value().value();
  const Result<std::string> said = launch(1);
  ASSERT_FALSE(said);
  EXPECT_THAT(said.error().message(), HasSubstr("no process of a job"));
  EXPECT_EQ(cgroup_of(1).value().value(), before);
}

}  // namespace
}  // namespace conode::test
