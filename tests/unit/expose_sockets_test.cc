// SPDX-License-Identifier: Apache-2.0
// Sockets of the host: bound here, or by a child that stays in another network namespace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/file.h"
#include "agent/expose/host_sockets.h"
#include "agent/services/forwarder.h"

namespace conode::expose {
namespace {

using testing::HasSubstr;

cpu_set_t own_cpus() {
  cpu_set_t mask{};
  (void)::sched_getaffinity(0, sizeof mask, &mask);
  return mask;
}

bool listens(const UniqueFd& socket) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value == 1;
}

class Sockets : public testing::TestWithParam<bool> {
 protected:
  static HostSockets sockets() {
    return GetParam() ? HostSockets::keep(own_cpus()).value() : HostSockets();
  }
};

TEST_P(Sockets, TcpListensAndUdpIsBound) {
  HostSockets host = sockets();
  const UniqueFd tcp = host.bind(Protocol::tcp, "127.0.0.1", 0).value();
  EXPECT_TRUE(listens(tcp));
  EXPECT_NE(services::port_of(tcp).value(), 0);
  const UniqueFd udp = host.bind(Protocol::udp, "127.0.0.1", 0).value();
  EXPECT_NE(services::port_of(udp).value(), 0);
}

TEST_P(Sockets, ATakenPortIsRefusedWithWhatToDo) {
  HostSockets host = sockets();
  for (const Protocol protocol : {Protocol::tcp, Protocol::udp}) {
    const UniqueFd first = host.bind(protocol, "127.0.0.1", 0).value();
    const uint16_t port = services::port_of(first).value();
    const Result<UniqueFd> second = host.bind(protocol, "127.0.0.1", port);
    ASSERT_FALSE(second);
    EXPECT_TRUE(second.error().is(std::errc::address_in_use));
    EXPECT_THAT(second.error().message(), HasSubstr("127.0.0.1:" + std::to_string(port)));
    EXPECT_THAT(second.error().remedy, HasSubstr("another port"));
  }
}

TEST_P(Sockets, WhatIsNoAddressOfThisHostIsRefused) {
  HostSockets host = sockets();
  const Result<UniqueFd> foreign = host.bind(Protocol::tcp, "203.0.113.1", 0);
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().remedy, HasSubstr("network.expose_address"));
  EXPECT_FALSE(host.bind(Protocol::tcp, "localhost", 0));
  EXPECT_THAT(host.bind(Protocol::sctp, "127.0.0.1", 0).error().message(), HasSubstr("SCTP"));
}

INSTANTIATE_TEST_SUITE_P(Where, Sockets, testing::Bool(),
                         [](const auto& p) { return p.param ? "ByAChild" : "Here"; });

TEST(KeptNamespace, OutlivesTheMoveToAnotherOne) {
  const pid_t pid = ::fork();  // nobody else is to be moved
  if (pid == 0) {
    Result<HostSockets> host = HostSockets::keep(own_cpus());
    if (!host || ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(77);
    // Here not even the loopback is up, and no address of the host is ours.
    const Result<UniqueFd> socket = host->bind(Protocol::tcp, "127.0.0.1", 0);
    if (!socket) ::_exit(1);
    const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    socklen_t size = sizeof address;
    (void)::getsockname(socket->get(), reinterpret_cast<sockaddr*>(&address), &size);
    const bool reached =
        ::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::_exit(reached ? 2 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no user namespaces here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace conode::expose
