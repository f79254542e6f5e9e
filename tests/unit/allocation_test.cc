// SPDX-License-Identifier: Apache-2.0
// What a batch system says, as it says it: recorded in jobs of Slurm 22.05.
#include "agent/allocation/pbs.h"

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
          commands,
          {},
          "vm"};
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

TEST(Slurm, AnEndInAYearIsNone) {
  Surroundings around = batch_script();
  const auto year = std::chrono::system_clock::now() + std::chrono::hours(24 * 365);
  around.variables["SLURM_JOB_END_TIME"] =
      std::to_string(std::chrono::system_clock::to_time_t(year));
  EXPECT_FALSE(find_allocation(around).value().end);
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

TEST(Slurm, MemoryIsTheNodesOrItsCpus) {
  constexpr uint64_t kMebibyte = uint64_t{1} << 20U;
  Surroundings around = batch_script();
  EXPECT_EQ(memory_of(around), std::nullopt);
  around.variables["SLURM_MEM_PER_CPU"] = "500";
  EXPECT_EQ(memory_of(around), std::nullopt);
  around.variables["SLURM_CPUS_ON_NODE"] = "4";
  EXPECT_EQ(memory_of(around), 2000 * kMebibyte);
  around.variables["SLURM_MEM_PER_NODE"] = "0";  // --mem=0: all that the node has
  around.variables.erase("SLURM_MEM_PER_CPU");
  EXPECT_EQ(memory_of(around), std::nullopt);
  around.variables["SLURM_MEM_PER_NODE"] = "1600";
  EXPECT_EQ(memory_of(around), 1600 * kMebibyte);
  around.variables["FLUX_URI"] = "local:///tmp/flux-a/local-0";  // an instance in a Slurm job
  EXPECT_EQ(memory_of(around), std::nullopt);
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

// The initial program of an instance by `flux batch`, on the second of three brokers.
Surroundings flux_instance() {
  Commands commands;
  commands.answer({"flux", "hostlist", "--expand", "instance"}, "f1 f2 f3\n");
  commands.answer({"flux", "getattr", "rank"}, "1\n");
  commands.answer({"flux", "job", "timeleft"}, "3600\n");
  return {{{"FLUX_URI", "local:///run/flux/local"},
           {"FLUX_ENCLOSING_ID",
            "\xc6\x92"
            "2hXSv1"}},
          commands,
          {},
          "f2"};
}

TEST(Flux, AnInstanceHasItsBrokersAndItsTime) {
  const auto now = std::chrono::system_clock::now();
  const Allocation found = find_allocation(flux_instance()).value();
  EXPECT_EQ(found.system, System::flux);
  EXPECT_EQ(found.id, "f2hXSv1");
  EXPECT_THAT(found.hosts, ElementsAre("f2", "f3", "f1"));
  EXPECT_THAT(found.places, ElementsAre(1, 2, 0));
  ASSERT_TRUE(found.end);
  EXPECT_GE(*found.end - now, std::chrono::minutes(59));
  EXPECT_LE(*found.end - now, std::chrono::minutes(61));
}

TEST(Flux, WithoutALimitThereIsNone) {
  for (const char* said : {"infinity\n", "", "1e300\n"}) {
    Surroundings around = flux_instance();
    Commands commands;
    commands.answer({"flux", "hostlist", "--expand", "instance"}, "f1\n");
    commands.answer({"flux", "getattr", "rank"}, "0\n");
    commands.answer({"flux", "job", "timeleft"}, said);
    around.ask = commands;
    EXPECT_FALSE(find_allocation(around).value().end) << said;
  }
}

TEST(Flux, AJobOfOneTaskIsANode) {
  Surroundings around = flux_instance();
  around.variables["FLUX_JOB_ID"] = "fABC";
  around.variables["FLUX_JOB_SIZE"] = "1";
  around.variables["FLUX_JOB_NNODES"] = "1";
  const Allocation found = find_allocation(around).value();
  EXPECT_EQ(found.id, "fABC");
  EXPECT_THAT(found.hosts, IsEmpty());
}

TEST(Flux, AParallelJobIsRefusedWithTheWayOut) {
  Surroundings around = flux_instance();
  around.variables["FLUX_JOB_ID"] = "fABC";
  around.variables["FLUX_JOB_NNODES"] = "2";
  const Error error = find_allocation(around).error();
  EXPECT_THAT(error.message(), HasSubstr("it has 2 nodes"));
  EXPECT_THAT(error.remedy, HasSubstr("flux batch"));
}

TEST(Flux, AnInstanceOutsideOfFluxIsNamedByItsDirectory) {
  const Surroundings around{
      {{"FLUX_URI", "local:///tmp/flux-Ab12Cd/local-0"}}, Commands(), {}, "f"};
  EXPECT_EQ(system_of(around), System::flux);
  EXPECT_EQ(id_of(around), "flux-Ab12Cd");
}

TEST(Flux, WithoutItsCommandsThatIsSaid) {
  Surroundings around = flux_instance();
  around.ask = Commands();
  EXPECT_THAT(find_allocation(around).error().message(),
              HasSubstr("find the nodes of Flux instance"));
}

// The script of a job of two chunks with two processes each, on the second one's host.
Surroundings pbs_script(const std::string& status) {
  Commands commands;
  commands.answer({"qstat", "-f", "-F", "json", "12.server"}, status);
  return {{{"PBS_JOBID", "12.server"}, {"PBS_NODEFILE", "/aux/12.server"}},
          commands,
          [](const std::string& path) -> Result<std::string> {
            if (path != "/aux/12.server") return failure("no such file");
            return "p1.site\np1.site\np2.site\np2.site\n";
          },
          "p2"};
}

constexpr const char* kQstat = R"({"timestamp":1, "pbs_version":"23.06.06", "Jobs":{"12.server":{
  "Job_Name":"x", "Resource_List":{"ncpus":4, "walltime":"01:00:00"}, "resources_used":{"walltime":"00:20:00"}}}})";

TEST(Pbs, AScriptHasItsNodesAndItsTime) {
  const auto now = std::chrono::system_clock::now();
  const Allocation found = find_allocation(pbs_script(kQstat)).value();
  EXPECT_EQ(found.system, System::pbs);
  EXPECT_THAT(found.hosts, ElementsAre("p2.site", "p1.site"));
  ASSERT_TRUE(found.end);
  EXPECT_GE(*found.end - now, std::chrono::minutes(39));
  EXPECT_LE(*found.end - now, std::chrono::minutes(41));
}

TEST(Pbs, WithoutALimitThereIsNone) {
  for (const char* said : {"", "{}", R"({"Jobs":{"12.server":{}}})",
                           R"({"Jobs":{"12.server":{"Resource_List":{"walltime":7}}}})"})
    EXPECT_FALSE(find_allocation(pbs_script(said)).value().end) << said;
}

TEST(Pbs, DurationsAreOfHoursMinutesAndSeconds) {
  EXPECT_EQ(parse_pbs_duration("01:02:03"), std::chrono::seconds(3723));
  EXPECT_EQ(parse_pbs_duration("100:00:00"), std::chrono::hours(100));
  EXPECT_EQ(parse_pbs_duration("90"), std::chrono::seconds(90));
  for (const char* wrong : {"", "x", "1:2:3:4", "1h"})
    EXPECT_FALSE(parse_pbs_duration(wrong)) << wrong;
}

TEST(Pbs, AnotherHostIsRefused) {
  Surroundings around = pbs_script(kQstat);
  around.host_name = "login";
  EXPECT_THAT(find_allocation(around).error().message(),
              HasSubstr("host 'login' is none of its nodes"));
}

TEST(Allocation, OutsideOfAJobThereIsNone) {
  const Surroundings around{{{"SLURM_JOB_ID", ""}, {"HOME", "/root"}}, Commands(), {}, "vm"};
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
  const Surroundings around{{{"PBS_JOBID", "1234[7].server"}}, Commands(), {}, "vm"};
  EXPECT_EQ(id_of(around), "1234_7_.server");
}

}  // namespace
}  // namespace conode::allocation
