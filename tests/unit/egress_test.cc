// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "agent/egress/choice.h"
#include "agent/egress/resolvers.h"

namespace conode::egress {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::function<std::string(const std::string&)> installed(std::set<std::string> programs) {
  return [programs = std::move(programs)](const std::string& name) {
    return programs.contains(name) ? "/usr/bin/" + name : std::string();
  };
}

TEST(Choice, TakesPastaThenSlirp4netns) {
  EXPECT_EQ(choose(Wanted::automatic, installed({"pasta", "slirp4netns"})).kind, Kind::pasta);
  const Choice slirp = choose(Wanted::automatic, installed({"slirp4netns"}));
  EXPECT_EQ(slirp.kind, Kind::slirp4netns);
  EXPECT_EQ(slirp.program, "/usr/bin/slirp4netns");
  EXPECT_EQ(choose(Wanted::slirp4netns, installed({"pasta", "slirp4netns"})).kind,
            Kind::slirp4netns);
}

TEST(Choice, SaysWhyThereIsNone) {
  EXPECT_EQ(choose(Wanted::none, installed({"pasta"})).kind, Kind::none);
  const Choice nothing = choose(Wanted::automatic, installed({}));
  EXPECT_EQ(nothing.kind, Kind::none);
  EXPECT_THAT(nothing.reason, HasSubstr("neither pasta"));
  const Choice other = choose(Wanted::pasta, installed({"slirp4netns"}));
  EXPECT_EQ(other.kind, Kind::none);
  EXPECT_THAT(other.reason, HasSubstr("pasta is not installed"));
  EXPECT_THAT(choose(Wanted::slirp4netns, installed({"pasta"})).reason, HasSubstr("slirp4netns"));
}

TEST(CommandLine, KeepsTheHostsLoopbackAndPortsOut) {
  const auto pasta = command_line({Kind::pasta, "/usr/bin/pasta", {}}, 42);
  EXPECT_EQ(pasta.front(), "/usr/bin/pasta");
  EXPECT_EQ(pasta.back(), "42");
  for (const char* needed : {"--no-map-gw", "--tcp-ports=none", "--udp-ports=none", "--tcp-ns=none",
                             "--udp-ns=none", "--foreground"})
    EXPECT_THAT(pasta, Contains(needed));
  const auto slirp = command_line({Kind::slirp4netns, "/usr/bin/slirp4netns", {}}, 42);
  EXPECT_THAT(slirp, Contains("--disable-host-loopback"));
  EXPECT_THAT(slirp, Contains("--mtu=65520"));
  EXPECT_THAT(command_line({}, 42), IsEmpty());
}

TEST(Resolvers, AreReadInTheirOrder) {
  EXPECT_THAT(resolvers_of("# comment\nsearch a.b\nnameserver 192.0.2.53\n"
                           "nameserver\t198.51.100.53\nnameserver fd00::53\noptions ndots:2\n"),
              ElementsAre("192.0.2.53", "198.51.100.53"));
}

TEST(Resolvers, NonsenseIsNone) {
  EXPECT_THAT(resolvers_of(""), IsEmpty());
  EXPECT_THAT(resolvers_of("nameserver\n;nameserver 192.0.2.1\n"), IsEmpty());
}

TEST(Resolvers, OfOtherKindsAreAskedByTheProgram) {
  EXPECT_THAT(resolvers_of("nameserver 2001:db8::53\n"), ElementsAre("127.0.0.1"));
  EXPECT_THAT(resolvers_of("nameserver 2001:db8::53\nnameserver 192.0.2.1\n"),
              ElementsAre("192.0.2.1"));
  EXPECT_THAT(upstreams({"0.0.0.0"}), ElementsAre("198.19.255.3"));
}

TEST(Resolvers, OnTheLoopbackAreReachedThroughTheProgram) {
  EXPECT_THAT(upstreams({"192.0.2.53:5353", "192.0.2.54"}),
              ElementsAre("192.0.2.53:5353", "192.0.2.54"));
  EXPECT_THAT(upstreams({"127.0.0.53", "127.0.0.1", "192.0.2.54"}),
              ElementsAre("198.19.255.3", "192.0.2.54"));
  EXPECT_THAT(upstreams({}), IsEmpty());
  EXPECT_THAT(upstreams({"127.0.0.53"}), Not(Contains("127.0.0.53")));
}

}  // namespace
}  // namespace conode::egress
