// SPDX-License-Identifier: Apache-2.0
#include "agent/topology/topology.h"

#include <gmock/gmock.h>
#include <sched.h>

#include "agent/base/file.h"

namespace conode {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kData = "data/topology/";

Topology recorded(const std::string& name, const AllocationLimits& limits = {}) {
  Result<Topology> topology = Topology::from_xml_file(kData + name + ".xml", limits);
  EXPECT_TRUE(topology) << topology.error().message();
  return std::move(*topology);
}

Topology synthetic(const std::string& text, const AllocationLimits& limits = {}) {
  Result<Topology> topology = Topology::from_synthetic(text, limits);
  EXPECT_TRUE(topology) << topology.error().message();
  return std::move(*topology);
}

CpuSet cpus(std::string_view list) { return CpuSet::parse(list).value(); }

const Device* find_device(const Topology& topology, std::string_view name) {
  for (const Device& device : topology.devices())
    if (device.name == name) return &device;
  return nullptr;
}

TEST(TopologyTest, ThisMachineIsWhatTheProcessMayUse) {
  const Result<Topology> topology = Topology::load();
  ASSERT_TRUE(topology) << topology.error().message();
  cpu_set_t mask;
  ASSERT_EQ(::sched_getaffinity(0, sizeof mask, &mask), 0);
  EXPECT_TRUE(CpuSet(mask).contains(topology->cpus()));
  EXPECT_FALSE(topology->cores().empty());
  EXPECT_GT(topology->memory_bytes(), 0U);
}

TEST(TopologyTest, ThisMachineFollowsTheAffinity) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  const CpuSet one{CpuSet(before).first()};
  const cpu_set_t mask = one.to_cpu_set();
  ASSERT_EQ(::sched_setaffinity(0, sizeof mask, &mask), 0);
  const Result<Topology> topology = Topology::load();
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  ASSERT_TRUE(topology) << topology.error().message();
  EXPECT_EQ(topology->cpus(), one);
}

// hwloc cuts a cgroup path of over 127 characters and then believes in the whole machine.
TEST(TopologyTest, WholeMachineButTheAffinityKnowsBetter) {
  AllocationLimits limits;
  limits.affinity = cpus("0-7,64-71");
  limits.cpus_effective = "0-7,64-71\n";
  const Topology topology = recorded("composed_2s64c_8numa_smt2_4gpu_2ib", limits);
  EXPECT_EQ(topology.cpus(), cpus("0-7,64-71"));
  EXPECT_EQ(topology.cores().size(), 8U);
  ASSERT_EQ(topology.numa_nodes().size(), 1U);  // the other nodes' memory is not ours either
  EXPECT_EQ(topology.memory_bytes(), uint64_t{64} << 30U);
  EXPECT_THAT(topology.notes(), ElementsAre(AllOf(HasSubstr("hwloc finds CPUs 0-127"),
                                                  HasSubstr("the CPU affinity has CPUs 0-7,64-71"),
                                                  HasSubstr("in common, 0-7,64-71"))));
  // A device of another socket is known, but near to none of our CPUs.
  const Device* far = find_device(topology, "cuda3");
  ASSERT_NE(far, nullptr);
  EXPECT_TRUE(far->cpus.empty());
  EXPECT_THAT(far->numa_nodes, IsEmpty());
}

TEST(TopologyTest, EachViewCanBeTheNarrowest) {
  AllocationLimits limits;
  limits.affinity = cpus("0-5");
  limits.cpus_effective = "2-9";
  const Topology topology = synthetic("pack:1 core:8 pu:1", limits);
  EXPECT_EQ(topology.cpus(), cpus("2-5"));
  EXPECT_EQ(topology.notes().size(), 1U);
  EXPECT_THAT(synthetic("pack:1 core:8 pu:1", {.cpus_effective = "0-7"}).notes(), IsEmpty());
}

TEST(TopologyTest, NothingInCommonIsAnErrorWithARemedy) {
  AllocationLimits limits;
  limits.affinity = cpus("0-1");
  limits.cpus_effective = "2-3";
  const Result<Topology> topology = Topology::from_synthetic("pack:1 core:4 pu:1", limits);
  ASSERT_FALSE(topology);
  EXPECT_THAT(topology.error().message(),
              AllOf(HasSubstr("allocation's CPUs"), HasSubstr("affinity has CPUs 0-1"),
                    HasSubstr("cpuset.cpus.effective has CPUs 2-3")));
  EXPECT_THAT(topology.error().remedy, HasSubstr("taskset"));
}

TEST(TopologyTest, LimitsThatAreNoListsAreRefused) {
  const Result<Topology> a =
      Topology::from_synthetic("pack:1 core:4 pu:1", {.cpus_effective = "all"});
  ASSERT_FALSE(a);
  EXPECT_THAT(a.error().message(), HasSubstr("cpuset.cpus.effective: parse CPU list 'all'"));
  const Result<Topology> b =
      Topology::from_synthetic("pack:1 core:4 pu:1", {.mems_effective = "0-"});
  ASSERT_FALSE(b);
  EXPECT_THAT(b.error().message(), HasSubstr("cpuset.mems.effective"));
}

TEST(TopologyTest, MemoryNodesAndBytesAreLimited) {
  const Topology topology = synthetic("pack:2 [numa(memory=8589934592)] core:2 pu:1",
                                      {.mems_effective = "1", .memory_bytes = uint64_t{2} << 30U});
  EXPECT_EQ(topology.cpus(), cpus("0-3"));  // CPUs of the other node stay ours
  ASSERT_EQ(topology.numa_nodes().size(), 1U);
  EXPECT_EQ(topology.numa_nodes().front().os_index, 1);
  EXPECT_EQ(topology.memory_bytes(), uint64_t{2} << 30U);
}

TEST(TopologyTest, CoreThatIsOnlyPartlyOursIsNoted) {
  const Topology topology = synthetic("pack:1 core:2 pu:2", {.affinity = CpuSet{0, 2, 3}});
  EXPECT_EQ(topology.cores().size(), 2U);
  EXPECT_THAT(topology.notes(),
              testing::Contains(HasSubstr("only CPUs 0 of the core with CPUs 0-1")));
}

TEST(TopologyTest, DevicesOfARealNode) {
  const Topology topology = recorded("sandy_bridge_2s16c_smt2_gpu_ib");
  EXPECT_EQ(topology.cores().size(), 16U);
  EXPECT_EQ(topology.cores()[8].cpus, cpus("8,24"));
  EXPECT_THAT(topology.packages()[0].model, HasSubstr("E5-2650"));
  EXPECT_EQ(topology.caches().size(), 2U);
  EXPECT_EQ(topology.caches()[0].level, 3);

  const Device* gpu = find_device(topology, "cuda0");
  ASSERT_NE(gpu, nullptr);
  EXPECT_EQ(gpu->kind, DeviceKind::gpu);
  EXPECT_EQ(gpu->pci, "0000:84:00.0");
  EXPECT_THAT(gpu->numa_nodes, ElementsAre(1));
  const Device* fabric = find_device(topology, "mlx5_0");
  ASSERT_NE(fabric, nullptr);
  EXPECT_EQ(fabric->kind, DeviceKind::fabric);
  EXPECT_EQ(fabric->alias, "ib0");
  const Device* ethernet = find_device(topology, "eth0");
  ASSERT_NE(ethernet, nullptr);
  EXPECT_EQ(ethernet->kind, DeviceKind::network);
  // A GPU without any driver is known by its PCI class, the management console's is none.
  const Device* bare = find_device(topology, "0000:03:00.0");
  ASSERT_NE(bare, nullptr);
  EXPECT_EQ(bare->kind, DeviceKind::gpu);
  EXPECT_THAT(bare->model, HasSubstr("Tesla M2075"));
  EXPECT_EQ(find_device(topology, "0000:05:03.0"), nullptr);
}

TEST(TopologyTest, SeveralDriversOfOneGpuAreOneDevice) {
  const Topology topology = recorded("power8_2s8c_4gpu");
  std::vector<std::string> names;
  for (const Device& device : topology.devices()) names.push_back(device.name);
  EXPECT_THAT(names, ElementsAre("cuda0", "cuda1", "cuda2", "cuda3"));
}

TEST(TopologyTest, ShapesThatAreNotPlain) {
  const Topology offline = recorded("xeon_4s_offline_threads");
  EXPECT_EQ(offline.cores().size(), 6U);
  EXPECT_EQ(offline.packages().size(), 4U);
  EXPECT_EQ(offline.memory_bytes(), 0U);

  const Topology mcdram = recorded("knights_landing_16c_smt4_mcdram");
  EXPECT_EQ(mcdram.numa_nodes().size(), 8U);
  for (const Core& core : mcdram.cores())
    EXPECT_EQ(mcdram.numa_nodes()[static_cast<size_t>(core.numa)].kind, "");

  const Topology coreless = synthetic("numa:2 pu:3");  // PUs without cores are cores
  EXPECT_EQ(coreless.cores().size(), 6U);
  const Topology clusters = recorded("haswell_2s28c_cluster_on_die");
  EXPECT_EQ(clusters.numa_nodes().size(), 4U);
  EXPECT_EQ(clusters.packages().size(), 2U);
}

TEST(TopologyTest, RestrictedXmlIsThePartWithItsOwnNumbers) {
  const Topology whole = recorded("sandy_bridge_2s16c_smt2_gpu_ib");
  const Result<std::string> xml = whole.restricted_xml(cpus("4-15,20-31"));
  ASSERT_TRUE(xml) << xml.error().message();
  const Result<Topology> part = Topology::from_xml(*xml);
  ASSERT_TRUE(part) << part.error().message();
  EXPECT_EQ(part->cpus(), cpus("4-15,20-31"));
  EXPECT_EQ(part->cores().size(), 12U);
  EXPECT_EQ(part->cores().front().os_index, 4);
  EXPECT_NE(find_device(*part, "cuda0"), nullptr);
  EXPECT_NE(find_device(*part, "mlx5_0"), nullptr);
  EXPECT_EQ(whole.cpus().count(), 32);  // the original is as it was
}

TEST(TopologyTest, RestrictedXmlOfNothing) {
  const Topology whole = synthetic("pack:1 core:4 pu:1");
  for (const char* none : {"", "4-7"}) {
    const Result<std::string> xml = whole.restricted_xml(cpus(none));
    ASSERT_FALSE(xml);
    EXPECT_THAT(xml.error().message(), HasSubstr("none of them is in the allocation (0-3)"));
  }
}

TEST(TopologyTest, XmlThatIsNone) {
  const std::string whole =
      read_file(std::string(kData) + "sandy_bridge_2s16c_smt2_gpu_ib.xml").value();
  struct Case {
    std::string text;
    const char* message;
  };
  for (const Case& c :
       {Case{"", "is empty"}, Case{"{\"cpus\": \"0-3\"}", "no <topology>"},
        Case{"<html><body>404</body></html>", "no <topology>"},
        Case{whole.substr(0, whole.size() / 2), "damaged"}, Case{whole.substr(0, 200), "damaged"},
        Case{"<topology version=\"9.0\"></topology>", "damaged or of an unknown version"}}) {
    const Result<Topology> topology = Topology::from_xml(c.text);
    ASSERT_FALSE(topology) << c.text.substr(0, 60);
    EXPECT_THAT(topology.error().message(), HasSubstr(c.message));
    EXPECT_THAT(topology.error().remedy, HasSubstr("lstopo"));
  }
  const Result<Topology> absent = Topology::from_xml_file("data/topology/absent.xml");
  ASSERT_FALSE(absent);
  EXPECT_TRUE(absent.error().is(std::errc::no_such_file_or_directory));
  EXPECT_THAT(absent.error().message(), HasSubstr("data/topology/absent.xml"));
  const Result<Topology> text = Topology::from_xml_file("data/topology/README.md");
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message(), HasSubstr("read topology 'data/topology/README.md'"));
}

TEST(TopologyTest, SyntheticTextThatIsNone) {
  for (const char* text : {"", "cores please", "pack:0 core:1"}) {
    const Result<Topology> topology = Topology::from_synthetic(text);
    ASSERT_FALSE(topology) << text;
    EXPECT_THAT(topology.error().message(), HasSubstr("synthetic topology"));
    EXPECT_FALSE(topology.error().remedy.empty());
  }
}

}  // namespace
}  // namespace conode
