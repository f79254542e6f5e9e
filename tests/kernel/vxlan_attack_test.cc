// SPDX-License-Identifier: Apache-2.0
// What nobody can do: a job's user to his own nodes' identity and to other jobs, strangers to a
// job, other users to the keeper. Each attack is followed by something allowed that has to arrive
// first.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/file.h"
#include "agent/base/packet.h"
#include "netplug/link/link.h"
#include "netplug/link/nft.h"
#include "netplug/link/route.h"
#include "netplug/link/sysctl.h"
#include "tests/support/frames.h"
#include "tests/support/vxlan_fixture.h"

namespace conode::test {
namespace {

using testing::HasSubstr;
using testing::Not;

Ipv4Address ip(const std::string& text) { return Ipv4Address::parse(text).value(); }

class VxlanAttack : public VxlanFixture {
 protected:
  // Two users' namespaces, joined.
  void make_pair(uint32_t hosts = 2) {
    ASSERT_NO_FATAL_FAILURE(make_hosts(hosts));
    ASSERT_NO_FATAL_FAILURE(up(2));
    for (uint32_t rank = 0; rank < 2; ++rank) ASSERT_NO_FATAL_FAILURE(join(rank, 2));
  }
  // From node 0 to node 1, as it should be.
  static Addresses proper() {
    return {vxlan_mac(0), vxlan_mac(1), ip("10.88.0.1"), ip("10.88.0.2")};
  }
  // "Received" frames up to the one that may arrive.
  static std::string received_until(const RawLink& link, const std::string& last) {
    std::string all;
    while (all.find(last) == std::string::npos) {
      const Result<std::string> frame = link.receive();
      if (!frame) return all + " and then nothing";
      all += *frame;
    }
    return all;
  }
};

TEST_F(VxlanAttack, AForgedSourceDoesNotLeaveTheHost) {
  ASSERT_NO_FATAL_FAILURE(make_pair());
  const RawLink out = RawLink::open(user(0), kVxlanLink).value();
  const RawLink in = RawLink::open(user(1), kVxlanLink).value();
  const auto forged = [&](const std::function<void(Addresses&)>& forge) {
    Addresses addresses = proper();
    forge(addresses);
    ASSERT_TRUE(out.send(ipv4_frame(addresses, "forged")));
  };
  forged([](Addresses& a) { a.source = vxlan_mac(2); });
  forged([](Addresses& a) { a.source = a.destination; });
  forged([](Addresses& a) { a.from = ip("10.88.0.3"); });
  forged([](Addresses& a) { a.from = ip("10.244.2.5"); });
  forged([](Addresses& a) { a.from = ip("10.244.1.5"); });
  forged([](Addresses& a) { a.from = ip("192.0.2.1"); });
  forged([](Addresses& a) { a.from = {}; });
  const std::string filler(64, 'x');
  for (const int type : {ETH_P_ARP, ETH_P_IPV6, ETH_P_LOOP, ETH_P_PAE})
    ASSERT_TRUE(out.send(ethernet_frame(proper(), static_cast<uint16_t>(type), filler + "forged")));
  ASSERT_TRUE(out.send(ipv4_frame(proper(), "allowed")));
  EXPECT_THAT(received_until(in, "allowed"), Not(HasSubstr("forged")));
  Addresses pod = proper();
  pod.from = ip("10.244.0.5");
  ASSERT_TRUE(out.send(ipv4_frame(pod, "a pod's")));
  EXPECT_THAT(received_until(in, "a pod's"), Not(HasSubstr("nothing")));
  down();
}

TEST_F(VxlanAttack, AFrameToEverybodyGoesNowhere) {
  ASSERT_NO_FATAL_FAILURE(make_pair());
  const RawLink out = RawLink::open(user(0), kVxlanLink).value();
  const RawLink in = RawLink::open(user(1), kVxlanLink).value();
  for (const int first : {0xff, 0x01, 0x33, 0x02}) {  // broadcast, groups, somebody unknown
    Addresses addresses = proper();
    addresses.destination.bytes.fill(static_cast<uint8_t>(first));
    ASSERT_TRUE(out.send(ipv4_frame(addresses, "to everybody")));
  }
  ASSERT_TRUE(out.send(ipv4_frame(proper(), "allowed")));
  EXPECT_THAT(received_until(in, "allowed"), Not(HasSubstr("to everybody")));
  down();
}

TEST_F(VxlanAttack, AStrangersPacketIsNotUnpacked) {
  ASSERT_NO_FATAL_FAILURE(make_pair(3));
  const RawLink in = RawLink::open(user(1), kVxlanLink).value();
  const uint32_t vni = vni_of_job(kJob);
  const auto send = [&](uint32_t from, uint16_t port, uint32_t number, const std::string& text) {
    const Result<void> sent =
        send_datagram(host(from).netns(), port, ip(host(1).address()), kVxlanPort,
                      vxlan_payload(number, ipv4_frame(proper(), text)));
    ASSERT_TRUE(sent) << sent.error().message();
  };
  send(2, 700, vni, "a stranger's");  // no host of the job, whoever sends there
  send(0, 40000, vni, "a user's");    // of a host of the job, but no root
  send(0, 1024, vni, "a user's");
  send(0, 700, vni + 1, "another number's");  // no such VXLAN
  send(0, 700, vni, "root's");                // so the packets are right
  const std::string all = received_until(in, "root's");
  for (const char* bad : {"stranger", "user", "number", "nothing"})
    EXPECT_THAT(all, Not(HasSubstr(bad)));
  down();
}

// Its packets have the host's address, and a port of root's.
TEST_F(VxlanAttack, AGuestBehindAHostIsNotThatHost) {
  ASSERT_NO_FATAL_FAILURE(make_pair());
  const Netns guest = Netns::create().value();
  const auto configure = [](const Netns& netns, const char* link, const char* address) {
    Socket socket = Socket::open(netns).value();
    const int index = find_link(socket, link).value().value().index;
    ASSERT_TRUE(set_link_up(socket, index));
    ASSERT_TRUE(add_address(socket, index, Ipv4Prefix::parse(address).value()));
  };
  Socket outside = Socket::open(host(0).netns()).value();
  ASSERT_TRUE(create_veth(outside, {.name = "guest", .peer_name = "eth0", .peer_netns = &guest}));
  configure(host(0).netns(), "guest", "192.168.7.1/24");
  configure(guest, "eth0", "192.168.7.2/24");
  Socket inside = Socket::open(guest).value();
  ASSERT_TRUE(set_route(inside, {.destination = {{}, 0},
                                 .link = find_link(inside, "eth0").value().value().index,
                                 .gateway = ip("192.168.7.1")}));
  ASSERT_TRUE(host(0).netns().run([]() -> Result<void> {
    TRY(set_network_sysctl("ipv4/ip_forward", "1"));
    TRY(run_nft({"-f", "-"},
                "table ip test { chain out { type nat hook postrouting priority "
                "srcnat; oifname fab0 masquerade; }; }"));
    return {};
  }));
  ASSERT_TRUE(ping(guest, ip(host(1).address())));
  const RawLink in = RawLink::open(user(1), kVxlanLink).value();
  ASSERT_TRUE(send_datagram(guest, 700, ip(host(1).address()), kVxlanPort,
                            vxlan_payload(vni_of_job(kJob), ipv4_frame(proper(), "a guest's"))));
  const RawLink out = RawLink::open(user(0), kVxlanLink).value();
  ASSERT_TRUE(out.send(ipv4_frame(proper(), "allowed")));
  EXPECT_THAT(received_until(in, "allowed"), Not(HasSubstr("a guest's")));
  ASSERT_TRUE(host(0).netns().run([] { return run_nft({"delete", "table", "ip", "test"}); }));
  down();
}

TEST_F(VxlanAttack, JobsOnOneHostDoNotHearEachOther) {
  ASSERT_NO_FATAL_FAILURE(make_pair());
  ASSERT_NO_FATAL_FAILURE(up(2, "4712"));
  const UserNetns other = UserNetns::create(kJobUser).value();
  const VxlanLink link = host(0).give("4712", other, {1}).value();
  const RawLink theirs = RawLink::open(other.netns(), kVxlanLink).value();
  const RawLink out = RawLink::open(user(0), kVxlanLink).value();
  const RawLink in = RawLink::open(user(1), kVxlanLink).value();
  ASSERT_TRUE(theirs.send(ipv4_frame(proper(), "another job's")));
  ASSERT_TRUE(out.send(ipv4_frame(proper(), "allowed")));
  EXPECT_THAT(received_until(in, "allowed"), Not(HasSubstr("another job's")));
  down("4712");
  down();
}

TEST_F(VxlanAttack, AnEndDoesNotLeadToItsOtherSide) {
  ASSERT_NO_FATAL_FAILURE(make_pair());
  Socket socket = Socket::open(user(0)).value();
  const std::vector<Link> links = list_links(socket).value();
  for (const Link& link : links)
    EXPECT_THAT(link.kind, testing::AnyOf("veth", "")) << link.name;  // no VXLAN, no bridge
  EXPECT_FALSE(ping(user(0), ip("172.31.0.1")));
  down();
}

TEST_F(VxlanAttack, OnlyTheJobsUserGetsAnEnd) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  ASSERT_NO_FATAL_FAILURE(up(1));
  const UserNetns theirs = UserNetns::create(kOtherUser).value();
  const Result<VxlanLink> other = host(0).give(kJob, theirs, {}, kOtherUser);
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message(), HasSubstr("Permission denied"));
  const Result<VxlanLink> root = host(0).give(kJob, theirs, {}, 0);  // may connect to anything
  ASSERT_FALSE(root);
  EXPECT_THAT(root.error().message(), HasSubstr("user 0 is not the job's"));
  const Result<VxlanLink> foreign = host(0).give(kJob, theirs, {});  // his namespace, by our user
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message(), HasSubstr("user 1001's"));
  ASSERT_NO_FATAL_FAILURE(join(0, 1));
  down();
}

TEST_F(VxlanAttack, OnlyAUsersNetworkNamespaceGetsAnEnd) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  ASSERT_NO_FATAL_FAILURE(up(1));
  const UserNetns own = UserNetns::create(kJobUser).value();
  const std::string path = host(0).socket(kJob);
  const auto offered = [&](int fd) {
    return run_as(
               kJobUser,
               [&]() -> Result<std::string> { return to_text(TRY(request_vxlan_end(path, fd))); })
        .map_error([](const Error& error) { return error.message(); });
  };
  EXPECT_THAT(offered(host(0).netns().fd()).error(), HasSubstr("is the host's"));
  EXPECT_THAT(offered(own.user_namespace().get()).error(), HasSubstr("not a network namespace"));
  const UniqueFd file = open_at(AT_FDCWD, "/proc/version", O_RDONLY).value();
  EXPECT_THAT(offered(file.get()).error(), HasSubstr("not a network namespace"));
  const UniqueFd device = open_at(AT_FDCWD, "/dev/null", O_RDWR).value();
  EXPECT_THAT(offered(device.get()).error(), HasSubstr("not a network namespace"));
  ASSERT_NO_FATAL_FAILURE(join(0, 1));
  down();
}

TEST_F(VxlanAttack, GarbageAtTheSocketEndsNothing) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  ASSERT_NO_FATAL_FAILURE(up(1));
  const pid_t before = keeper(0);
  const UserNetns own = UserNetns::create(kJobUser).value();
  const std::vector<std::vector<int>> descriptors{{}, {0}, {0, 1}, {0, 1, 2, 0, 1, 2, 0, 1}};
  for (const std::string& text : {std::string("x"), std::string("conode vxlan 1 end"),
                                  std::string("conode vxlan 1 what"), std::string(60000, 'x')})
    for (const std::vector<int>& fds : descriptors)
      EXPECT_TRUE(run_as(kJobUser, [&]() -> Result<std::string> {
        const UniqueFd socket = TRY(connect_to_keeper(host(0).socket(kJob)));
        TRY(send_packet(socket.get(), text, fds));
        const std::optional<Packet> packet = TRY(receive_packet(socket.get()));
        return packet ? packet->data : "nothing";
      })) << text.substr(0, 20);
  EXPECT_TRUE(run_as(kJobUser, [&]() -> Result<std::string> {  // and goes without a word
    TRY(connect_to_keeper(host(0).socket(kJob)));
    return "done";
  }));
  ASSERT_NO_FATAL_FAILURE(join(0, 1));
  EXPECT_EQ(keeper(0), before);
  down();
}

TEST_F(VxlanAttack, TheKeeperCanDoLittle) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  ASSERT_NO_FATAL_FAILURE(up(1));
  const std::string proc = fmt::format("/proc/{}", keeper(0));
  const std::string status = read_file(proc + "/status").value();
  constexpr const char* kNetAdmin = "0000000000001000";
  EXPECT_THAT(status, HasSubstr(fmt::format("CapPrm:\t{}", kNetAdmin)));
  EXPECT_THAT(status, HasSubstr(fmt::format("CapEff:\t{}", kNetAdmin)));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  std::array<char, 256> root{};
  ASSERT_GT(::readlink((proc + "/root").c_str(), root.data(), root.size() - 1), 0);
  EXPECT_EQ(std::string(root.data()), host(0).run_dir() + "/" + kJob);
  const Netns theirs = Netns::open(proc + "/ns/net").value();
  EXPECT_FALSE(theirs.is(host(0).netns()).value());
  Socket socket = Socket::open(theirs).value();
  EXPECT_EQ(list_links(socket).value().size(), 3U);  // lo, bridge, vxlan
  down();
}

TEST_F(VxlanAttack, PlantedPathsAreNotUsed) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  const std::string run = host(0).run_dir();
  const auto refused = [&](const char* why) {
    const HookRun made = host(0).hook(world_->up(kJob, 0, 1)).value();
    EXPECT_FALSE(made.ok()) << why;
    EXPECT_THAT(made.output, HasSubstr(why));
    EXPECT_EQ(host(0).rules().value(), "");
  };
  const TempDir elsewhere = TempDir::create().value();
  ASSERT_EQ(::symlink(elsewhere.path().c_str(), run.c_str()), 0);
  refused("host0");
  ASSERT_EQ(::unlink(run.c_str()), 0);
  ASSERT_TRUE(make_dir(run, 0755));
  const std::string job = run + "/" + kJob;
  ASSERT_EQ(::symlink(elsewhere.path().c_str(), job.c_str()), 0);
  refused(kJob);
  ASSERT_EQ(::unlink(job.c_str()), 0);
  ASSERT_TRUE(make_dir(job, 0755));
  ASSERT_EQ(::chown(job.c_str(), kJobUser, kJobUser), 0);
  refused("only his to write");
  EXPECT_FALSE(host(0).down(kJob).value().ok());
  ASSERT_EQ(::chown(job.c_str(), 0, 0), 0);
  ASSERT_EQ(::chmod(job.c_str(), 0777), 0);
  refused("only his to write");
  ASSERT_EQ(::rmdir(job.c_str()), 0);
  ASSERT_EQ(::chmod(run.c_str(), 0777), 0);
  refused("only his to write");
  ASSERT_EQ(::chmod(run.c_str(), 0755), 0);
  EXPECT_EQ(list_dir(elsewhere.path()).value().size(), 0U);
}

TEST_F(VxlanAttack, WrongArgumentsMakeNothing) {
  ASSERT_NO_FATAL_FAILURE(make_hosts(1));
  const auto refused = [&](const std::string& option, const std::string& value, const char* why) {
    std::vector<std::string> arguments = world_->up(kJob, 0, 1);
    const auto at = std::find(arguments.begin(), arguments.end(), option);
    if (at != arguments.end()) {
      at[1] = value;
    } else {
      arguments.insert(arguments.end(), {option, value});
    }
    const HookRun run = host(0).hook(arguments).value();
    EXPECT_FALSE(run.ok()) << option << " " << value;
    EXPECT_THAT(run.output, HasSubstr(why));
  };
  refused("--job", "../4711", "job id");
  refused("--uid", "0", "root");
  refused("--uid", "-1", "--uid");
  refused("--rank", "7", "--rank 7");
  refused("--peer", "0=192.0.2.1", "no interface of this host");
  refused("--peer", "0", "RANK=ADDRESS");
  refused("--vni", "16777216", "VNI");
  refused("--port", "0", "port");
  refused("--mtu", "9000", "1450");
  refused("--nodes", "10.88.0.0/33", "--nodes");
  EXPECT_FALSE(host(0).hook({"vxlan", "down", "--job", ".."}).value().ok());
}

}  // namespace
}  // namespace conode::test
