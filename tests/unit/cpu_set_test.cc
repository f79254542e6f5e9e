// SPDX-License-Identifier: Apache-2.0
#include "agent/topology/cpu_set.h"

#include <gmock/gmock.h>

#include <random>
#include <set>

namespace conode {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CpuSet cpus(std::string_view list) { return CpuSet::parse(list).value(); }

TEST(CpuSetTest, ReadsWhatTheKernelPrints) {
  struct Case {
    const char* text;
    std::vector<int> members;
    const char* printed;
  };
  for (const Case& c :
       {Case{"", {}, ""}, Case{"\n", {}, ""}, Case{"0\n", {0}, "0"},
        Case{"0-3,8", {0, 1, 2, 3, 8}, "0-3,8"}, Case{" 8,1-2 ", {1, 2, 8}, "1-2,8"},
        Case{"1,2,3", {1, 2, 3}, "1-3"}, Case{"4-4", {4}, "4"}, Case{"8191", {8191}, "8191"}}) {
    const Result<CpuSet> set = CpuSet::parse(c.text);
    ASSERT_TRUE(set) << c.text;
    EXPECT_EQ(set->to_vector(), c.members);
    EXPECT_EQ(set->to_string(), c.printed);
    EXPECT_EQ(set->count(), static_cast<int>(c.members.size()));
  }
}

TEST(CpuSetTest, RefusesWhatIsNoList) {
  for (const char* text : {",", "1,", ",1", "1,,2", "-", "-1", "1-", "3-1", "1-2-3", "x", "1 2",
                           "0x3", "+1", "1.5", "8192", "0-8192", "99999999999999999999", "0-"}) {
    const Result<CpuSet> set = CpuSet::parse(text);
    ASSERT_FALSE(set) << text;
    EXPECT_THAT(set.error().message(), HasSubstr("parse CPU list '" + std::string(text) + "'"));
  }
}

TEST(CpuSetTest, SetAlgebraAgreesWithStdSet) {
  std::mt19937 random(1);  // the same numbers on each run
  for (int round = 0; round < 200; ++round) {
    std::set<int> a, b;
    for (int i = 0; i < 40; ++i) {
      a.insert(static_cast<int>(random() % 300));
      b.insert(static_cast<int>(random() % 300));
    }
    const CpuSet x(std::vector<int>(a.begin(), a.end()));
    const CpuSet y(std::vector<int>(b.begin(), b.end()));
    std::vector<int> both, any, only;
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(any));
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only));
    EXPECT_EQ((x & y).to_vector(), both);
    EXPECT_EQ((x | y).to_vector(), any);
    EXPECT_EQ((x - y).to_vector(), only);
    EXPECT_EQ(x.intersects(y), !both.empty());
    EXPECT_EQ(x.contains(y), both.size() == b.size());
    EXPECT_EQ(cpus(x.to_string()), x);
    EXPECT_EQ(x.first(), *a.begin());
    EXPECT_EQ(x.last(), *a.rbegin());
  }
}

TEST(CpuSetTest, KernelMaskThereAndBack) {
  const CpuSet set = cpus("0,63-64,1023");
  const cpu_set_t mask = set.to_cpu_set();
  EXPECT_EQ(CPU_COUNT(&mask), 4);
  EXPECT_EQ(CpuSet(mask), set);
  const cpu_set_t cut = cpus("5,1024").to_cpu_set();  // what does not fit is left out
  EXPECT_EQ(CpuSet(cut), cpus("5"));
}

TEST(CpuSetTest, EmptyMovedAndCopied) {
  CpuSet a = cpus("1-2");
  const CpuSet copy = a;
  a.add(7);
  a.remove(1);
  a.add(-1);  // no CPU has this number
  EXPECT_THAT(a.to_vector(), ElementsAre(2, 7));
  EXPECT_EQ(copy, cpus("1-2"));
  const CpuSet moved = std::move(a);
  EXPECT_EQ(moved, cpus("2,7"));
  a = copy;  // a moved-from object can be assigned to
  EXPECT_EQ(a, copy);
  const CpuSet empty;
  EXPECT_TRUE(empty.empty());
  EXPECT_EQ(empty.first(), -1);
  EXPECT_EQ(empty.to_string(), "");
  EXPECT_TRUE(copy.contains(empty));
  EXPECT_FALSE(empty.contains(0));
  for (const int cpu : empty) FAIL() << cpu;
}

}  // namespace
}  // namespace conode
