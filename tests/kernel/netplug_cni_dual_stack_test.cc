// SPDX-License-Identifier: Apache-2.0
// conode-cni with a second address for each container (ipam.range6), in both modes.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "agent/base/file.h"
#include "netplug/link/bridge.h"
#include "netplug/link/ipv6.h"
#include "netplug/link/route.h"
#include "netplug/link/sandbox_network.h"
#include "netplug/link/sysctl.h"
#include "tests/support/cni_fixture.h"

namespace conode::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::SizeIs;

// A TCP connection over IPv6: made or refused at once by the kernels, nobody needs to accept.
Result<UniqueFd> tcp6_in(const Netns& netns) {
  return netns.run([]() -> Result<UniqueFd> {
    UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return errno_failure("make a socket");
    const timeval patience{.tv_sec = 2};
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
  });
}

Result<void> connect6(const Netns& from, const Netns& to, const std::string& address) {
  const UniqueFd server = TRY(tcp6_in(to));
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  socklen_t length = sizeof any;
  if (::bind(server.get(), reinterpret_cast<sockaddr*>(&any), length) != 0 ||
      ::listen(server.get(), 1) != 0 ||
      ::getsockname(server.get(), reinterpret_cast<sockaddr*>(&any), &length) != 0)
    return errno_failure("listen");
  const UniqueFd client = TRY(tcp6_in(from));
  if (::inet_pton(AF_INET6, address.c_str(), &any.sin6_addr) != 1) return failure("address");
  if (::connect(client.get(), reinterpret_cast<sockaddr*>(&any), length) != 0)
    return errno_failure("connect to " + address);
  return {};
}

class CniDualStack : public CniFixture, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    CniFixture::SetUp();
    if (IsSkipped()) return;
    if (!exists("/proc/sys/net/ipv6")) GTEST_SKIP() << "the kernel lacks IPv6";
    if (bridged() && !has_bridge_netfilter())
      GTEST_SKIP() << "the kernel lacks br_netfilter: modprobe br_netfilter (as root)";
    Socket node = Socket::open().value();
    const int link = find_link(node, kNodeLink).value()->index;
    ASSERT_TRUE(add_address(node, link, Ipv6Prefix::parse("fd00:10:88::1/64").value()));
  }
  void TearDown() override {
    if (!IsSkipped() && bridged()) {
      Socket node = Socket::open().value();
      EXPECT_TRUE(delete_link(node, "cnbr0"));
      EXPECT_TRUE(set_route(node, {.destination = Ipv4Prefix::parse(kRange).value()}));
    }
    CniFixture::TearDown();
  }
  static bool bridged() { return std::string(GetParam()) == "bridge"; }
  static json dual(json more = json::object()) {
    more.merge_patch({{"mode", GetParam()}, {"ipam", {{"range6", "fd00:10:244::/64"}}}});
    return more;
  }
};

TEST_P(CniDualStack, BothAddressesConnect) {
  Container& a = container();
  Container& b = container();
  const json first = call("ADD", a, dual()).json();
  const json second = call("ADD", b, dual()).json();
  ASSERT_THAT(second["ips"], SizeIs(2)) << second;
  EXPECT_EQ(first["ips"][1]["address"], bridged() ? "fd00:10:244::2/64" : "fd00:10:244::1/128");
  EXPECT_EQ(first["ips"][1]["gateway"], bridged() ? "fd00:10:244::1" : "fe80::1");
  const std::string with_length = second["ips"][1]["address"];
  const std::string address = with_length.substr(0, with_length.find('/'));
  const Netns node = Netns::current().value();
  for (const Netns* from : {&a.netns(), &node}) {
    const Result<void> connected = connect6(*from, b.netns(), address);
    EXPECT_TRUE(connected) << connected.error().message()
                           << (from == &node ? " from the node" : "");
  }
  EXPECT_TRUE(call("CHECK", a, dual({{"prevResult", first}})).ok());
  ASSERT_TRUE(call("DEL", b, dual()).ok());
  EXPECT_FALSE(connect6(a.netns(), b.netns(), address));
  EXPECT_TRUE(call("DEL", a, dual()).ok());
}

TEST_P(CniDualStack, CheckNamesWhatIsMissing) {
  Container& c = container();
  const json result = call("ADD", c, dual()).json();
  Socket inside = Socket::open(c.netns()).value();
  const int link = find_link(inside, "eth0").value()->index;
  ASSERT_TRUE(delete_route(inside, Ipv6Route{.destination = {{}, 0}, .link = link}).value());
  const CniAnswer answer = call("CHECK", c, dual({{"prevResult", result}}));
  EXPECT_EQ(answer.code(), 100);
  EXPECT_THAT(answer.output, HasSubstr("default route of IPv6"));
  EXPECT_TRUE(call("DEL", c, dual()).ok());
}

TEST_P(CniDualStack, SaysWhereIpv6IsSwitchedOff) {
  Container& c = container();
  ASSERT_TRUE(
      c.netns().run([] { return set_network_sysctl("ipv6/conf/default/disable_ipv6", "1"); }));
  const CniAnswer answer = call("ADD", c, dual());
  EXPECT_FALSE(answer.ok());
  EXPECT_THAT(answer.output, HasSubstr("disable_ipv6"));
}

INSTANTIATE_TEST_SUITE_P(Modes, CniDualStack, testing::Values("routed", "bridge"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace conode::test
