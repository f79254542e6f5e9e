// SPDX-License-Identifier: Apache-2.0
#include "agent/topology/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>
#include <set>

namespace conode {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kGiB = uint64_t{1} << 30U;
constexpr const char* kBigNode = "composed_2s64c_8numa_smt2_4gpu_2ib";

Topology recorded(const std::string& name) {
  Result<Topology> topology = Topology::from_xml_file("data/topology/" + name + ".xml");
  EXPECT_TRUE(topology) << topology.error().message();
  return std::move(*topology);
}

Topology synthetic(const std::string& text, const AllocationLimits& limits = {}) {
  Result<Topology> topology = Topology::from_synthetic(text, limits);
  EXPECT_TRUE(topology) << topology.error().message();
  return std::move(*topology);
}

Plan plan_of(const Topology& topology, const PlanRequest& request = {}) {
  Result<Plan> plan = make_plan(topology, request);
  EXPECT_TRUE(plan) << plan.error().message();
  return std::move(*plan);
}

std::string failure_of(const Topology& topology, const PlanRequest& request) {
  const Result<Plan> plan = make_plan(topology, request);
  EXPECT_FALSE(plan);
  return plan ? "" : plan.error().message() + " | " + plan.error().remedy;
}

// What must hold of each plan, whatever the machine.
void expect_partition(const Topology& topology, const Plan& plan) {
  EXPECT_EQ(plan.hpc.cpus | plan.k8s.cpus, topology.cpus());
  EXPECT_FALSE(plan.k8s.cpus.empty());
  EXPECT_EQ(plan.hpc.cpus.intersects(plan.k8s.cpus), plan.shared);
  for (const Core& core : topology.cores())
    for (const Part* part : {&plan.hpc, &plan.k8s})
      EXPECT_TRUE(part->cpus.contains(core.cpus) || !part->cpus.intersects(core.cpus));
  EXPECT_TRUE(plan.k8s.cpus.contains(topology.cpus().first()));
  EXPECT_EQ(plan.hpc.memory + plan.k8s.memory, topology.memory_bytes());
  EXPECT_GE(plan.k8s.memory, std::min(topology.memory_bytes(), kMinPartMemory));
  EXPECT_EQ(plan.hpc.devices.size() + plan.k8s.devices.size() + plan.common_devices.size(),
            topology.devices().size());
}

TEST(PlanTest, AQuarterByDefault) {
  const Topology topology = synthetic("pack:1 [numa(memory=17179869184)] core:8 pu:2");
  const Plan plan = plan_of(topology);
  EXPECT_EQ(plan.k8s.cpus.to_string(), "0-3");
  EXPECT_EQ(plan.k8s.cores, 2);
  EXPECT_EQ(plan.hpc.cores, 6);
  EXPECT_EQ(plan.k8s.memory, 4 * kGiB);
  EXPECT_EQ(plan.hpc.memory, 12 * kGiB);
  EXPECT_EQ(plan.k8s.memory_nodes(), "0");
  EXPECT_THAT(plan.warnings, IsEmpty());
  expect_partition(topology, plan);
}

TEST(PlanTest, SharesAreRoundedDownButNeverToNothing) {
  const Topology topology = synthetic("pack:1 [numa(memory=107374182400)] core:100 pu:1");
  for (const auto& [share, cores] :
       {std::pair(0.29, 29), std::pair(0.001, 1), std::pair(0.999, 99), std::pair(0.5, 50)})
    EXPECT_EQ(plan_of(topology, {.k8s_share = share}).k8s.cores, cores);
}

TEST(PlanTest, SameInputSamePlan) {
  const Topology topology = recorded(kBigNode);
  const Topology again = recorded(kBigNode);
  for (uint32_t cores = 1; cores < 64; ++cores)
    EXPECT_EQ(to_json(plan_of(topology, {.k8s_cores = cores})),
              to_json(plan_of(again, {.k8s_cores = cores})));
}

TEST(PlanTest, EveryPlanOfEveryRecordedMachineIsAPartition) {
  for (const char* name : {kBigNode, "sandy_bridge_2s16c_smt2_gpu_ib", "power8_2s8c_4gpu",
                           "haswell_2s28c_cluster_on_die", "knights_landing_16c_smt4_mcdram",
                           "xeon_4s_offline_threads"}) {
    const Topology topology = recorded(name);
    for (uint32_t cores = 1; cores < topology.cores().size(); ++cores)
      for (const bool avoid : {true, false}) {
        SCOPED_TRACE(fmt::format("{} {} {}", name, cores, avoid));
        const Plan plan = plan_of(topology, {.k8s_cores = cores, .avoid_devices = avoid});
        EXPECT_EQ(plan.k8s.cores, static_cast<int>(cores));
        expect_partition(topology, plan);
      }
  }
}

TEST(PlanTest, RandomMachinesAndAllocations) {
  std::mt19937 random(7);  // the same machines on each run
  const auto pick = [&](int from, int to) {
    return from + static_cast<int>(random() % static_cast<unsigned>(to - from + 1));
  };
  for (int round = 0; round < 300; ++round) {
    const std::string text =
        fmt::format("pack:{} numa:{}(memory={}) l3:{} core:{} pu:{}", pick(1, 2), pick(1, 4),
                    pick(2, 64) * kGiB, pick(1, 3), pick(1, 6), pick(1, 4));
    SCOPED_TRACE(text);
    const Topology whole = synthetic(text);
    CpuSet allocation;
    for (const int cpu : whole.cpus())
      if (pick(0, 3) > 0) allocation.add(cpu);
    if (allocation.empty()) allocation = whole.cpus();
    const Topology topology = synthetic(text, {.affinity = allocation});
    const int all = static_cast<int>(topology.cores().size());
    const Plan plan = plan_of(
        topology, {.k8s_cores = static_cast<uint32_t>(pick(1, all)), .allow_everything = all > 1});
    expect_partition(topology, plan);
    const Result<Plan> again = plan_from_json(to_json(plan), topology);
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(to_json(*again), to_json(plan));
    EXPECT_THAT(to_text(plan, topology), HasSubstr("Kubernetes"));
    EXPECT_THAT(to_svg(plan, topology), HasSubstr("</svg>"));
  }
}

TEST(PlanTest, PackedByCacheAndNumaNode) {
  const Topology topology = synthetic("pack:2 numa:2(memory=8589934592) l3:2 core:4 pu:1");
  EXPECT_EQ(plan_of(topology, {.k8s_cores = 3}).k8s.cpus.to_string(), "0-2");
  EXPECT_EQ(plan_of(topology, {.k8s_cores = 6}).k8s.cpus.to_string(), "0-5");
  EXPECT_EQ(plan_of(topology, {.k8s_cores = 12}).k8s.cpus.to_string(), "0-11");
  EXPECT_THAT(plan_of(topology, {.k8s_cores = 12}).k8s.numa_nodes, ElementsAre(0, 1));
}

TEST(PlanTest, FewNodesInACutAllocation) {
  // Nodes of 4, 1 and 4 cores: 8 cores fit in two nodes, the small one stays MPI's.
  const Topology topology = synthetic("numa:3(memory=8589934592) core:4 pu:1",
                                      {.affinity = CpuSet::parse("0-4,8-11").value()});
  EXPECT_EQ(plan_of(topology, {.k8s_cores = 8}).k8s.cpus.to_string(), "0-3,8-11");
}

TEST(PlanTest, FirstCoreIsTheOneWithTheLowestCpu) {
  const Topology topology = synthetic("pack:2 core:4 pu:1", {.affinity = CpuSet{5, 6, 7, 3}});
  EXPECT_EQ(plan_of(topology, {.k8s_cores = 1}).k8s.cpus.to_string(), "3");
}

TEST(PlanTest, StaysAwayFromGpusAndFabric) {
  const Topology topology = recorded(kBigNode);  // devices at nodes 1, 3, 5, 7
  const Plan plan = plan_of(topology, {.k8s_cores = 16});
  EXPECT_THAT(plan.k8s.numa_nodes, ElementsAre(0, 2));
  EXPECT_THAT(plan.notes, Contains(HasSubstr("keeps off NUMA node 1")));
  EXPECT_EQ(plan.hpc.devices.size(), 6U);
  EXPECT_THAT(plan.common_devices, testing::SizeIs(1));

  const Plan told = plan_of(topology, {.k8s_cores = 16, .avoid_devices = false});
  EXPECT_THAT(told.k8s.numa_nodes, ElementsAre(0, 1));
  ASSERT_EQ(told.k8s.devices.size(), 1U);  // by locality
  EXPECT_EQ(told.k8s.devices.front().name, "cuda0");
}

TEST(PlanTest, LeavesTheFirstNodeIfThatCostsOneNodeOnly) {
  // The one GPU of interest is near to the first node; the second node has none.
  const Topology topology = recorded("power8_2s8c_4gpu");  // GPUs at both nodes: nothing to gain
  EXPECT_THAT(plan_of(topology, {.k8s_cores = 2}).k8s.numa_nodes, ElementsAre(0));

  AllocationLimits limits;
  limits.affinity = CpuSet::parse("8-23").value();  // nodes 1 (GPU, fabric) and 2 (none)
  const Result<Topology> two =
      Topology::from_xml_file(std::string("data/topology/") + kBigNode + ".xml", limits);
  ASSERT_TRUE(two);
  const Plan plan = plan_of(*two, {.k8s_cores = 4});
  EXPECT_EQ(plan.k8s.cpus.to_string(), "8,16-18");
  EXPECT_THAT(plan.k8s.numa_nodes, ElementsAre(1, 2));
}

TEST(PlanTest, DoesNotSpreadFarToStayAway) {
  // Node 1 has devices and the first core; single cores of 0, 2, 4 and 6 have none.
  AllocationLimits limits;
  limits.affinity = CpuSet::parse("8-15,16,32,48").value();
  const Result<Topology> topology =
      Topology::from_xml_file(std::string("data/topology/") + kBigNode + ".xml", limits);
  ASSERT_TRUE(topology);
  const Plan plan = plan_of(*topology, {.k8s_cores = 4});
  EXPECT_EQ(plan.k8s.cpus.to_string(), "8-11");  // 1 node, where staying away takes 4
  EXPECT_THAT(plan.notes, Contains(HasSubstr("has cores on NUMA node 1, which is near to")));
}

TEST(PlanTest, MemoryFollowsTheCoresOfEachNode) {
  const Topology topology = synthetic("numa:2(memory=8589934592) core:4 pu:1");
  const Plan plan = plan_of(topology, {.k8s_cores = 5});
  EXPECT_THAT(plan.k8s.memory_by_node,
              ElementsAre(NodeMemory{0, 8 * kGiB}, NodeMemory{1, 2 * kGiB}));
  EXPECT_THAT(plan.hpc.memory_by_node, ElementsAre(NodeMemory{1, 6 * kGiB}));
  EXPECT_EQ(plan.k8s.memory_nodes(), "0-1");
  EXPECT_EQ(plan.hpc.memory_nodes(), "1");
}

TEST(PlanTest, MemoryAsAsked) {
  const Topology topology = synthetic("numa:2(memory=8589934592) core:4 pu:1");
  const Plan less = plan_of(topology, {.k8s_cores = 4, .k8s_memory = 3 * kGiB + 12345});
  EXPECT_THAT(less.k8s.memory_by_node, ElementsAre(NodeMemory{0, 3 * kGiB + 12345}));
  const Plan more = plan_of(topology, {.k8s_cores = 4, .k8s_memory = 10 * kGiB});
  EXPECT_THAT(more.k8s.memory_by_node,
              ElementsAre(NodeMemory{0, 8 * kGiB}, NodeMemory{1, 2 * kGiB}));
  EXPECT_EQ(more.hpc.memory, 6 * kGiB);
}

TEST(PlanTest, MemoryLimitOfTheAllocationIsDivided) {
  const Topology topology =
      synthetic("numa:2(memory=8589934592) core:4 pu:1", {.memory_bytes = 4 * kGiB});
  const Plan plan = plan_of(topology, {.k8s_cores = 4});
  EXPECT_EQ(plan.k8s.memory, 2 * kGiB);
  EXPECT_EQ(plan.hpc.memory, 2 * kGiB);
}

TEST(PlanTest, KubernetesNeverGetsTooLittleMemory) {
  const Topology tight = synthetic("numa:1(memory=1610612736) core:8 pu:1");  // 1.5 GiB
  const Plan plan = plan_of(tight, {.k8s_cores = 1});
  EXPECT_EQ(plan.k8s.memory, kMinPartMemory);
  EXPECT_THAT(plan.notes, Contains(HasSubstr("by its cores would be 192 MiB: it gets 512 MiB")));

  const Topology tiny = synthetic("numa:1(memory=536870912) core:8 pu:1");
  EXPECT_THAT(failure_of(tiny, {}), AllOf(HasSubstr("512 MiB"), HasSubstr("--mem=")));
}

TEST(PlanTest, OneCoreIsSharedLoudly) {
  const Topology topology = synthetic("numa:1(memory=4294967296) core:1 pu:2");
  const Plan plan = plan_of(topology);
  EXPECT_TRUE(plan.shared);
  EXPECT_EQ(plan.hpc.cpus, plan.k8s.cpus);
  EXPECT_THAT(plan.warnings, ElementsAre(HasSubstr("Kubernetes and MPI share core 0")));
  EXPECT_EQ(plan.k8s.memory, 2 * kGiB);
  expect_partition(topology, plan);
  EXPECT_THAT(failure_of(topology, {.allow_shared_core = false}),
              AllOf(HasSubstr("allow_shared_core = false"), HasSubstr("1 core"),
                    HasSubstr("2 cores or more")));
}

TEST(PlanTest, EverythingOnlyWhenAskedFor) {
  const Topology topology = synthetic("numa:1(memory=4294967296) core:4 pu:1");
  for (const PlanRequest& request :
       {PlanRequest{.k8s_share = 1.0}, PlanRequest{.k8s_cores = 4, .allow_everything = true}}) {
    const Plan plan = plan_of(topology, request);
    EXPECT_TRUE(plan.hpc.cpus.empty());
    EXPECT_EQ(plan.k8s.memory, 4 * kGiB);
    EXPECT_EQ(plan.hpc.memory_nodes(), "");
    EXPECT_THAT(plan.warnings, Contains(HasSubstr("no HPC part")));
  }
  EXPECT_THAT(failure_of(topology, {.k8s_cores = 4}),
              AllOf(HasSubstr("k8s_cores = 4 of 4"), HasSubstr("1 to 3")));
}

TEST(PlanTest, RequestsThatCannotBeMet) {
  const Topology topology = synthetic("numa:1(memory=4294967296) core:4 pu:1");
  struct Case {
    PlanRequest request;
    std::vector<const char*> parts;  // key, value, bound
  };
  for (const Case& c :
       {Case{{.k8s_cores = 5}, {"k8s_cores = 5", "4 cores", "1 to 4"}},
        Case{{.k8s_cores = 0}, {"k8s_cores = 0", "1 to 4"}},
        Case{{.k8s_share = 0}, {"k8s_share = 0", "above 0 and at most 1"}},
        Case{{.k8s_share = -0.5}, {"k8s_share = -0.5", "above 0"}},
        Case{{.k8s_share = 1.5}, {"k8s_share = 1.5", "at most 1"}},
        Case{{.k8s_share = std::numeric_limits<double>::quiet_NaN()}, {"k8s_share = nan"}},
        Case{{.k8s_cores = 1, .k8s_share = 0.5}, {"both given"}},
        Case{{.k8s_memory = 5 * kGiB}, {"k8s_memory = 5 GiB", "has 4 GiB", "512 MiB to 3.5 GiB"}},
        Case{{.k8s_memory = 1}, {"k8s_memory = 1 B", "512 MiB to 3.5 GiB", "--k8s-memory 512Mi"}}})
    for (const char* part : c.parts) EXPECT_THAT(failure_of(topology, c.request), HasSubstr(part));
}

TEST(PlanTest, UnknownMemoryIsSaidNotInvented) {
  const Topology topology = recorded("xeon_4s_offline_threads");
  const Plan plan = plan_of(topology);
  EXPECT_EQ(plan.k8s.memory, 0U);
  EXPECT_THAT(plan.warnings, Contains(HasSubstr("memory is not divided")));
  EXPECT_THAT(to_text(plan, topology), HasSubstr("memory of unknown size"));
}

}  // namespace
}  // namespace conode
