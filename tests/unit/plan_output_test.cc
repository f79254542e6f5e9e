// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "agent/topology/plan.h"

namespace conode {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

Topology machine() {
  Result<Topology> topology =
      Topology::from_synthetic("numa:2(memory=8589934592) l3:1 core:4 pu:2");
  EXPECT_TRUE(topology);
  return std::move(*topology);
}

Topology big_node() {
  Result<Topology> topology =
      Topology::from_xml_file("data/topology/composed_2s64c_8numa_smt2_4gpu_2ib.xml");
  EXPECT_TRUE(topology) << topology.error().message();
  return std::move(*topology);
}

Json plan_json(const Topology& topology, const PlanRequest& request = {}) {
  return Json::parse(to_json(make_plan(topology, request).value()));
}

TEST(PlanOutputTest, TextIsATable) {
  const Topology topology = machine();
  EXPECT_EQ(to_text(make_plan(topology, {.k8s_cores = 5}).value(), topology),
            "8 cores (16 CPUs), 2 NUMA nodes, 16 GiB\n"
            "\n"
            "  part        cores  CPUs   nodes  memory  devices\n"
            "  HPC             3  10-15  1       6 GiB  -\n"
            "  Kubernetes      5  0-9    0-1    10 GiB  -\n"
            "\n"
            "  cores + memory        HPC  Kubernetes  near devices\n"
            "  NUMA node 0             -   4 + 8 GiB  -\n"
            "  NUMA node 1     3 + 6 GiB   1 + 2 GiB  -\n");
}

TEST(PlanOutputTest, TextShowsDevicesWarningsAndNotes) {
  const Topology topology = big_node();
  EXPECT_THAT(to_text(make_plan(topology, {.k8s_cores = 16}).value(), topology),
              AllOf(HasSubstr("cuda0 (nvml0)"), HasSubstr("mlx5_0 (ib0)"),
                    HasSubstr("both parts: eth0"), HasSubstr("note: Kubernetes keeps off")));
  const Topology one =
      std::move(*Topology::from_synthetic("numa:1(memory=4294967296) core:1 pu:1"));
  EXPECT_THAT(to_text(make_plan(one, {}).value(), one),
              HasSubstr("warning: Kubernetes and MPI share"));
}

TEST(PlanOutputTest, JsonHasTheDocumentedKeys) {
  const Json json = plan_json(big_node());
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["shared"], false);
  const Json& k8s = json["parts"]["k8s"];
  EXPECT_EQ(k8s["cpus"], "0-7,16-23,64-71,80-87");
  EXPECT_EQ(k8s["cores"], 16);
  EXPECT_EQ(k8s["numa_nodes"], Json({0, 2}));
  EXPECT_EQ(k8s["memory_bytes"], uint64_t{128} << 30U);
  EXPECT_EQ(k8s["memory_by_node"][1]["node"], 2);
  const Json& device = json["parts"]["hpc"]["devices"][0];
  EXPECT_EQ(device["kind"], "GPU");
  EXPECT_EQ(device["name"], "cuda0");
  EXPECT_EQ(device["numa_nodes"], Json({1}));
  EXPECT_EQ(json["common_devices"][0]["name"], "eth0");
}

TEST(PlanOutputTest, JsonThereAndBack) {
  const Topology topology = big_node();
  for (const bool avoid : {true, false}) {
    const Plan plan = make_plan(topology, {.k8s_cores = 16, .avoid_devices = avoid}).value();
    const Result<Plan> again = plan_from_json(to_json(plan), topology);
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(to_json(*again), to_json(plan));
  }
}

TEST(PlanOutputTest, APersonNeedsOnlyWriteTheCpus) {
  const Topology topology = machine();
  const Result<Plan> plan =
      plan_from_json(R"({"parts": {"hpc": {"cpus": "0-7"}, "k8s": {"cpus": "8-15"}}})", topology);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->k8s.cores, 4);
  EXPECT_EQ(plan->k8s.memory_nodes(), "1");
  const Result<Plan> idle =
      plan_from_json(R"({"parts": {"hpc": {"cpus": "4-7"}, "k8s": {"cpus": "8-15"}}})", topology);
  ASSERT_TRUE(idle) << idle.error().message();
  EXPECT_THAT(idle->warnings, testing::Contains(HasSubstr("leaves CPUs 0-3 to neither part")));
}

TEST(PlanOutputTest, JsonThatIsNoPlanOfThisNode) {
  const Topology topology = machine();
  struct Case {
    const char* pointer;
    Json value;
    const char* message;
  };
  for (const Case& c : {
           Case{"/version", 2, "version = 2: only 1 is known"},
           Case{"/shared", "no", "shared = \"no\" is neither"},
           Case{"/shared", true, "only an allocation of 1 core is shared; this one has 8"},
           Case{"/colour", 1, "the file: unknown key 'colour'"},
           Case{"/parts/k8s/cpu", "0", "parts.k8s: unknown key 'cpu'"},
           Case{"/parts/k8s", nullptr, "parts.k8s is no JSON object"},
           Case{"/parts", 3, "parts is no JSON object"},
           Case{"/parts/k8s/cpus", 0, "parts.k8s.cpus = 0 is no text"},
           Case{"/parts/k8s/cpus", "0-x", "parts.k8s.cpus: parse CPU list '0-x'"},
           Case{"/parts/k8s/cpus", "", "parts.k8s.cpus is empty"},
           Case{"/parts/k8s/cpus", "0-3,99", "CPUs 99 are not in this allocation, which has 0-15"},
           Case{"/parts/k8s/cpus", "0-5", "CPUs 4-5 are in both parts"},
           Case{"/parts/k8s/cpus", "0-2", "cuts the core with CPUs 2-3 in two"},
           Case{"/parts/k8s/cores", 3, "parts.k8s.cores = 3: CPUs 0-3 are 2 cores here"},
           Case{"/parts/hpc/numa_nodes", Json({5}), "parts.hpc.numa_nodes = [5]"},
           Case{"/parts/k8s/memory_bytes", -1, "no number of bytes"},
           Case{"/parts/k8s/memory_bytes", 1, "memory_by_node has"},
           Case{"/parts/k8s/memory_by_node", Json::array({{{"node", 0}}}), "is no {node, bytes}"},
           Case{"/parts/k8s/memory_by_node/0/node", 7, "there is no NUMA node 7"},
           Case{"/parts/k8s/devices", Json::array({{{"name", "cuda9"}}}), "device \"cuda9\""},
           Case{"/parts/k8s/devices", 1, "devices is no list"},
       }) {
    Json json = plan_json(topology);
    json[Json::json_pointer(c.pointer)] = c.value;
    const Result<Plan> plan = plan_from_json(json.dump(), topology);
    ASSERT_FALSE(plan) << c.pointer << " " << c.value;
    EXPECT_THAT(plan.error().message(), HasSubstr(c.message));
    EXPECT_THAT(plan.error().remedy, HasSubstr("conode plan --json"));
  }
}

TEST(PlanOutputTest, AllProblemsAtOnce) {
  const Topology topology = machine();
  const Result<Plan> plan = plan_from_json(
      R"({"version": 3, "x": 1, "parts": {"hpc": {"cpus": "0-99"}, "k8s": {"cpus": 1}}})",
      topology);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message(),
              AllOf(HasSubstr("version = 3"), HasSubstr("'x'"), HasSubstr("CPUs 16-99"),
                    HasSubstr("parts.k8s.cpus = 1")));
}

TEST(PlanOutputTest, TextThatIsNoJson) {
  const Topology topology = machine();
  const char* no_such_node = R"({"parts": {"hpc": {"cpus": "4-7"}, "k8s": {"cpus": "0-1", )"
                             R"("memory_by_node": [{"node": 99999999999999999999, "bytes": 1}]}}})";
  for (const char* text : {"", "{", "[1]", "null", "parts: {}", "\xff\xfe", "{}",
                           R"({"parts": {"k8s": {"cpus": "0-1"}}})", no_such_node}) {
    const Result<Plan> plan = plan_from_json(text, topology);
    ASSERT_FALSE(plan) << text;
    EXPECT_THAT(plan.error().message(), HasSubstr("check the plan"));
  }
}

TEST(PlanOutputTest, SvgShowsEveryCpuDeviceAndWarning) {
  const Topology topology = big_node();
  const std::string svg = to_svg(make_plan(topology, {.k8s_cores = 16}).value(), topology);
  EXPECT_EQ(svg.substr(0, 4), "<svg");
  for (const int cpu : topology.cpus()) EXPECT_THAT(svg, HasSubstr(fmt::format(">{}</text>", cpu)));
  for (const Device& device : topology.devices()) EXPECT_THAT(svg, HasSubstr(device.name));
  EXPECT_THAT(svg, AllOf(HasSubstr("48 for MPI, 16 for Kubernetes"), HasSubstr("L3 32 MiB"),
                         HasSubstr("AMD EPYC 7543"), Not(HasSubstr("nan"))));
  const Topology one =
      std::move(*Topology::from_synthetic("numa:1(memory=4294967296) core:1 pu:1"));
  EXPECT_THAT(to_svg(make_plan(one, {}).value(), one),
              HasSubstr("Warning: Kubernetes and MPI share"));
}

TEST(PlanOutputTest, SvgEscapesWhatHardwareCallsItself) {
  const Result<Topology> topology = Topology::from_xml(
      R"(<?xml version="1.0"?><topology version="2.0"><object type="Machine" os_index="0" cpuset="0x3" )"
      R"(complete_cpuset="0x3" allowed_cpuset="0x3" nodeset="0x1" complete_nodeset="0x1" )"
      R"(allowed_nodeset="0x1" gp_index="1"><object type="NUMANode" os_index="0" cpuset="0x3" )"
      R"(complete_cpuset="0x3" nodeset="0x1" complete_nodeset="0x1" gp_index="2" )"
      R"(local_memory="4294967296"/><object type="Package" os_index="0" cpuset="0x3" )"
      R"(complete_cpuset="0x3" nodeset="0x1" complete_nodeset="0x1" gp_index="3">)"
      R"(<info name="CPUModel" value="&lt;b&gt; &amp; &quot;x&quot;"/>)"
      R"(<object type="PU" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" )"
      R"(complete_nodeset="0x1" gp_index="4"/><object type="PU" os_index="1" cpuset="0x2" )"
      R"(complete_cpuset="0x2" nodeset="0x1" complete_nodeset="0x1" gp_index="5"/>)"
      R"(</object></object></topology>)");
  ASSERT_TRUE(topology) << topology.error().message();
  const std::string svg = to_svg(make_plan(*topology, {}).value(), *topology);
  EXPECT_THAT(svg, AllOf(HasSubstr("&lt;b&gt; &amp; &quot;x&quot;"), Not(HasSubstr("<b>"))));
}

}  // namespace
}  // namespace conode
