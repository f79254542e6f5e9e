// SPDX-License-Identifier: Apache-2.0
// What a batch system says, as it says it: recorded in jobs of Slurm 22.05.
#include "agent/allocation/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace conode::allocation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Answers what it knows; anything else is an error of the program.
class Commands {
 public:
  void answer(const std::vector<std::string>& argv, const std::string& text) {
    answers_[argv] = text;
  }
  [[nodiscard]] Result<std::string> operator()(const std::vector<std::string>& argv) const {
    const auto found = answers_.find(argv);
    if (found == answers_.end()) return failure("no such command: " + argv.at(0));
    return found->second;
  }

 private:
  std::map<std::vector<std::string>, std::string> answers_;
};

// In the batch script, on the first of two nodes.
Surroundings batch_script() {
  Commands commands;
  commands.answer({"scontrol", "show", "hostnames", "s[1-2]"}, "s1\ns2\n");
  commands.answer({"scontrol", "--oneliner", "show", "node", "s1"},
                  "NodeName=s1 Arch=x86_64 NodeAddr=192.0.2.1 NodeHostName=vm Version=22.05.8 \n");
  commands.answer({"scontrol", "--oneliner", "show", "node", "s2"}, "NodeName=s2 NodeAddr=s2 \n");
  commands.answer({"squeue", "--noheader", "--format=%e", "--jobs", "4711"},
                  "2026-11-23T15:00:00\n");
  return {{{"SLURM_JOB_ID", "4711"},
           {"SLURM_JOB_NODELIST", "s[1-2]"},
           {"SLURM_JOB_NUM_NODES", "2"},
           {"SLURMD_NODENAME", "s1"},
           {"SLURM_PROCID", "0"}},
          commands};
}

TEST(Slurm, ABatchScriptHasItsNodesAndItsTime) {
  const Allocation found = find_allocation(batch_script()).value();
  EXPECT_EQ(found.system, System::slurm);
  EXPECT_EQ(found.id, "4711");
  EXPECT_THAT(found.hosts, ElementsAre("s1", "s2"));
  EXPECT_EQ(found.address, "192.0.2.1");
  std::tm expected{};
  expected.tm_year = 126;
  expected.tm_mon = 10;
  expected.tm_mday = 23;
  expected.tm_hour = 15;
  expected.tm_isdst = -1;
  EXPECT_EQ(found.end, std::chrono::system_clock::from_time_t(::mktime(&expected)));
}

TEST(Slurm, TheCallersNodeIsTheFirst) {
  Surroundings around = batch_script();
  around.variables["SLURMD_NODENAME"] = "s2";
  EXPECT_THAT(find_allocation(around).value().hosts, ElementsAre("s2", "s1"));
}

TEST(Slurm, NewerOnesSayWhenTheyEnd) {
  Surroundings around = batch_script();
  around.variables["SLURM_JOB_END_TIME"] = "1763910000";
  EXPECT_EQ(find_allocation(around).value().end,
            std::chrono::system_clock::from_time_t(1763910000));
}

TEST(Slurm, WithoutALimitThereIsNone) {
  Surroundings around = batch_script();
  Commands commands;
  commands.answer({"scontrol", "show", "hostnames", "s[1-2]"}, "s1\ns2\n");
  commands.answer({"squeue", "--noheader", "--format=%e", "--jobs", "4711"}, "NONE\n");
  around.ask = commands;
  const Allocation found = find_allocation(around).value();
  EXPECT_FALSE(found.end);
  EXPECT_EQ(found.address, "s1");  // nobody says more
}

TEST(Slurm, WhatDoesNotWorkIsRefusedWithTheWayOut) {
  Surroundings around = batch_script();
  around.variables["SLURM_HET_SIZE"] = "2";
  EXPECT_THAT(find_allocation(around).error().message(), HasSubstr("heterogeneous"));
  around = batch_script();
  around.variables["SLURM_STEP_ID"] = "0";
  around.variables["SLURM_STEP_NUM_TASKS"] = "2";
  EXPECT_THAT(find_allocation(around).error().message(), HasSubstr("one of 2 tasks"));
  around = batch_script();
  around.variables.erase("SLURMD_NODENAME");  // salloc's shell on the login node
  const Error error = find_allocation(around).error();
  EXPECT_THAT(error.message(), HasSubstr("none of its nodes"));
  EXPECT_THAT(error.remedy, HasSubstr("srun"));
}

TEST(Slurm, WithoutItsCommandsThatIsSaid) {
  Surroundings around = batch_script();
  around.ask = Commands();
  EXPECT_THAT(find_allocation(around).error().message(), HasSubstr("find the nodes of Slurm job"));
}

TEST(Allocation, OutsideOfAJobThereIsNone) {
  const Surroundings around{{{"SLURM_JOB_ID", ""}, {"HOME", "/root"}}, Commands()};
  const Allocation found = find_allocation(around).value();
  EXPECT_EQ(found.system, System::none);
  EXPECT_THAT(found.id, IsEmpty());
  EXPECT_THAT(found.hosts, IsEmpty());
}

TEST(Allocation, TheInnermostBatchSystemCounts) {
  Surroundings around = batch_script();
  around.variables["FLUX_JOB_ID"] = "f2KvZ";
  EXPECT_EQ(system_of(around), System::flux);
  EXPECT_EQ(id_of(around), "f2KvZ");
}

TEST(Allocation, IdsAreNames) {
  const Surroundings around{{{"PBS_JOBID", "1234[7].server"}}, Commands()};
  EXPECT_EQ(id_of(around), "1234_7_.server");
}

}  // namespace
}  // namespace conode::allocation
