// SPDX-License-Identifier: Apache-2.0
#include "tests/support/uplink_fixture.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <random>
#include <thread>

#include "agent/base/file.h"
#include "tests/support/cni_world.h"

namespace conode::test {
namespace {

// Why there are no namespaces to test in; empty when this process is in them.
std::string& missing_need() {
  static std::string reason = "not set up";
  return reason;
}

size_t count(const char* directory) {
  return list_dir(directory).value_or(std::vector<std::string>{}).size();
}

std::string usable_tun() {
  const Netns netns = Netns::create().value();
  const Result<TunQueues> tun = netns.run([] { return open_tun({}); });
  return tun ? "" : "no TUN: " + tun.error().message();
}

std::string random_bytes(size_t size) {
  std::string bytes(size, '\0');
  std::mt19937_64 random(size);
  for (size_t at = 0; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
  return bytes;
}

sockaddr_in socket_address(Ipv4Address address, uint16_t port) {
  sockaddr_in made{.sin_family = AF_INET, .sin_port = htons(port)};
  made.sin_addr.s_addr = htonl(address.value);
  return made;
}

Result<UniqueFd> connected(const Netns& netns, int type, Ipv4Address address, uint16_t port,
                           std::chrono::seconds patience) {
  return netns.run([&]() -> Result<UniqueFd> {
    UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const timeval limit{.tv_sec = patience.count()};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
      (void)::setsockopt(fd.get(), SOL_SOCKET, option, &limit, sizeof limit);
    const sockaddr_in to = socket_address(address, port);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      return errno_failure("connect to " + address.text());
    return fd;
  });
}

Result<void> send_all(int socket, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::send(socket, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return errno_failure(fmt::format("send after {} bytes", at));
    at += static_cast<size_t>(n);
  }
  (void)::shutdown(socket, SHUT_WR);
  return {};
}

Result<std::string> receive_all(int socket) {
  std::string bytes;
  std::string buffer(1 << 20, '\0');
  for (;;) {
    const ssize_t n = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (n < 0) return errno_failure(fmt::format("receive after {} bytes", bytes.size()));
    if (n == 0) return bytes;
    bytes.append(buffer.data(), static_cast<size_t>(n));
  }
}

}  // namespace

void UplinkFixture::SetUp() {
  if (!missing_need().empty()) GTEST_SKIP() << missing_need();
  descriptors_ = count("/proc/self/fd");
  threads_ = count("/proc/self/task");  // a sanitizer may have one
}

void UplinkFixture::TearDown() {
  world_.reset();
  if (!missing_need().empty()) return;
  EXPECT_EQ(count("/proc/self/fd"), descriptors_);
  EXPECT_EQ(count("/proc/self/task"), threads_);
}

void UplinkFixture::make_hosts(size_t nodes, Wire wire) {
  Result<UplinkWorld> made = UplinkWorld::create(nodes, wire);
  ASSERT_TRUE(made) << made.error().message();
  world_.emplace(std::move(*made));
}

void UplinkFixture::make_world(size_t nodes, const NodeOptions& options, Wire wire) {
  make_hosts(nodes, wire);
  const Result<void> started = world_->start_relays(options);
  ASSERT_TRUE(started) << started.error().message();
}

Result<void> UplinkFixture::transfer(const UplinkNode& from, const UplinkNode& to, size_t size,
                                     std::chrono::seconds patience) {
  const TcpListener listener = TRY(listen_in(to.sandbox()));
  const UniqueFd client =
      TRY(connected(from.sandbox(), SOCK_STREAM, address_of(to), listener.port, patience));
  const UniqueFd server(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!server) return errno_failure("accept");
  const timeval limit{.tv_sec = patience.count()};
  (void)::setsockopt(server.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const std::string sent = random_bytes(size);
  Result<void> outcome;
  std::thread sender([&] { outcome = send_all(client.get(), sent); });
  const Result<std::string> received = receive_all(server.get());
  sender.join();
  TRY(outcome);
  if (!received) return tl::make_unexpected(received.error());
  if (*received != sent)
    return failure(fmt::format("{} of {} bytes came, or others", received->size(), sent.size()));
  return {};
}

Result<size_t> UplinkFixture::datagrams(const UplinkNode& from, const UplinkNode& to, size_t size,
                                        size_t count) {
  const UniqueFd server = TRY(to.sandbox().run([&]() -> Result<UniqueFd> {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in any = socket_address({}, 5353);
    const timeval limit{.tv_usec = 300'000};
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0)
      return errno_failure("bind");
    return fd;
  }));
  const UniqueFd client =
      TRY(connected(from.sandbox(), SOCK_DGRAM, address_of(to), 5353, std::chrono::seconds(1)));
  size_t arrived = 0;
  const std::string bytes = random_bytes(size);
  std::string buffer(65536, '\0');
  for (size_t i = 0; i < count; ++i) {
    if (::send(client.get(), bytes.data(), bytes.size(), 0) < 0) return errno_failure("send");
    const ssize_t n = ::recv(server.get(), buffer.data(), buffer.size(), 0);
    if (n < 0) continue;
    if (buffer.compare(0, static_cast<size_t>(n), bytes) != 0)
      return failure("another datagram came than was sent");
    ++arrived;
  }
  return arrived;
}

}  // namespace conode::test

// The namespaces must be entered while there is one thread, so before gtest.
int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  const conode::Result<void> made = conode::test::enter_private_namespaces();
  conode::test::missing_need() =
      made ? conode::test::usable_tun() : "no private namespaces: " + made.error().message();
  return RUN_ALL_TESTS();
}
