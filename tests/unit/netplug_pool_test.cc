// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "netplug/cni/address_pool.h"

namespace conode::cni {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class Pool : public testing::Test {
 protected:
  [[nodiscard]] AddressPool pool(const char* range = "10.1.0.0/29") const {
    return {directory(), Ipv4Prefix::parse(range).value()};
  }
  [[nodiscard]] std::string directory() const { return dir_.path() + "/a/b"; }
  static Attachment holder(int i) { return {"c" + std::to_string(i), "eth0"}; }
  static std::string taken(const AddressPool& pool, int i) {
    const auto address = pool.reserve(holder(i)).value();
    return address ? address->text() : "none";
  }

  TempDir dir_ = TempDir::create().value();
};

TEST_F(Pool, GivesEachAddressOnceAndThenNone) {
  const AddressPool p = pool();
  EXPECT_EQ(p.capacity(), 6U);
  std::set<std::string> addresses;
  for (int i = 0; i < 6; ++i) addresses.insert(taken(p, i));
  EXPECT_THAT(addresses, SizeIs(6));
  EXPECT_EQ(addresses.count("10.1.0.0"), 0U);
  EXPECT_EQ(addresses.count("10.1.0.7"), 0U);
  EXPECT_EQ(p.count_free().value(), 0U);
  EXPECT_EQ(taken(p, 6), "none");
  EXPECT_TRUE(p.release({Ipv4Address::parse("10.1.0.4").value(), holder(3)}).value());
  EXPECT_EQ(taken(p, 7), "10.1.0.4");
}

TEST_F(Pool, GoesRoundSoThatAnAddressRests) {
  const AddressPool p = pool();
  for (int i = 0; i < 13; ++i) {
    const auto address = p.reserve(holder(i)).value();
    EXPECT_EQ(address->text(), "10.1.0." + std::to_string(1 + i % 6));
    EXPECT_TRUE(p.release({*address, holder(i)}).value());
  }
}

TEST_F(Pool, SmallRangesAreUsedWhole) {
  EXPECT_EQ(pool("10.1.0.0/31").capacity(), 2U);
  EXPECT_EQ(pool("10.1.0.9/32").capacity(), 1U);
  EXPECT_EQ(taken(pool("10.1.0.9/32"), 1), "10.1.0.9");
  EXPECT_EQ(taken(pool("10.1.0.9/32"), 2), "none");
}

TEST_F(Pool, NeverGivesTheExcludedAddress) {
  const AddressPool p(directory(), Ipv4Prefix::parse("10.1.0.0/29").value(),
                      Ipv4Address::parse("10.1.0.1").value());
  EXPECT_EQ(p.capacity(), 5U);
  std::set<std::string> addresses;
  for (int i = 0; i < 5; ++i) addresses.insert(taken(p, i));
  EXPECT_EQ(addresses.count("10.1.0.1"), 0U);
  EXPECT_THAT(addresses, SizeIs(5));
  EXPECT_EQ(taken(p, 6), "none");
  EXPECT_EQ(p.count_free().value(), 0U);
  const AddressPool outside(directory(), Ipv4Prefix::parse("10.1.0.0/29").value(),
                            Ipv4Address::parse("10.1.0.7").value());
  EXPECT_EQ(outside.capacity(), 6U);
}

TEST_F(Pool, OnlyTheHolderReleases) {
  const AddressPool p = pool();
  const auto address = p.reserve(holder(1)).value();
  EXPECT_FALSE(p.release({*address, holder(2)}).value());
  EXPECT_THAT(p.list().value(), SizeIs(1));
  EXPECT_TRUE(p.release({*address, holder(1)}).value());
  EXPECT_FALSE(p.release({*address, holder(1)}).value());
}

TEST_F(Pool, AnAbsentDirectoryIsEmpty) {
  EXPECT_THAT(pool().list().value(), IsEmpty());
  EXPECT_FALSE(exists(directory()));
  EXPECT_EQ(pool().count_free().value(), 6U);
}

TEST_F(Pool, ReportsADirectoryThatCannotBe) {
  const AddressPool p("/dev/null/x", Ipv4Prefix::parse("10.1.0.0/29").value());
  EXPECT_FALSE(p.reserve(holder(1)));
  EXPECT_FALSE(p.count_free());
  EXPECT_FALSE(p.list());
}

TEST_F(Pool, SurvivesWhatACrashOrAStrangerLeft) {
  const AddressPool p = pool();
  ASSERT_EQ(taken(p, 1), "10.1.0.1");
  const std::string next = directory() + "/next";
  for (const char* torn : {"", "x", "99999999999999999999999", "4294967296"}) {
    ASSERT_TRUE(replace_file(next, torn));
    EXPECT_NE(taken(p, 2), "none") << torn;
  }
  ASSERT_TRUE(replace_file(directory() + "/10.1.0.6", "a file"));
  ASSERT_EQ(::symlink("no attachment", (directory() + "/10.1.0.99").c_str()), 0);
  ASSERT_TRUE(replace_file(directory() + "/notes", "not ours"));
  int strangers = 0;
  const auto reservations = p.list().value();
  for (const Reservation& r : reservations) {
    strangers += r.holder == Attachment{} ? 1 : 0;
    EXPECT_TRUE(p.release(r).value()) << r.address.text();
  }
  EXPECT_EQ(strangers, 2);
  EXPECT_THAT(p.list().value(), IsEmpty());
  EXPECT_TRUE(exists(directory() + "/notes"));
}

TEST_F(Pool, NoAddressIsGivenTwiceAtOnce) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 200;
  const AddressPool p = pool("10.1.0.0/28");
  std::array<std::atomic<int>, 16> users{};
  std::atomic<int> clashes = 0;
  std::atomic<int> given = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const auto address = p.reserve(holder(t)).value();
        if (!address) continue;
        ++given;
        std::atomic<int>& user = users[address->value & 15U];
        if (++user != 1) ++clashes;
        --user;
        if (!p.release({*address, holder(t)}).value()) ++clashes;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(clashes, 0);
  EXPECT_EQ(given, kThreads * kRounds);
  EXPECT_THAT(p.list().value(), IsEmpty());
}

}  // namespace
}  // namespace conode::cni
