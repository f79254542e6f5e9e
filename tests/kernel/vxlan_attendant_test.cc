// SPDX-License-Identifier: Apache-2.0
// The sandbox's side of a job's VXLAN: `conode-init vxlan` follows its orders, and ends with the
// link.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "netplug/link/link.h"
#include "netplug/link/route.h"
#include "netplug/vxlan/handover.h"
#include "tests/support/vxlan_fixture.h"

namespace conode::test {
namespace {

class VxlanAttendant : public VxlanFixture {
 protected:
  // Rank 0's, in a namespace that it was handed the end for; rank 1 is joined.
  void start() {
    ASSERT_NO_FATAL_FAILURE(make_hosts(2));
    ASSERT_NO_FATAL_FAILURE(up(2));
    ASSERT_NO_FATAL_FAILURE(join(1, 2));
    users_.insert_or_assign(0, UserNetns::create(kJobUser).value());
    const Result<std::string> given = run_as(kJobUser, [&]() -> Result<std::string> {
      return to_text(TRY(request_vxlan_end(host(0).socket(kJob), user(0).fd())));
    });
    ASSERT_TRUE(given) << given.error().message();
    ASSERT_NO_FATAL_FAILURE(hold_namespaces());
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    ASSERT_EQ(::pipe2(in.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
    orders_ = UniqueFd(in[1]);
    const UniqueFd their_orders(in[0]);
    const UniqueFd said(out[0]);
    UniqueFd their_words(out[1]);
    const VxlanSettings defaults;
    attendant_ = Process::spawn({.argv = {CONODE_INIT, "vxlan", std::to_string(holder_->pid()), "0",
                                          defaults.nodes.text(), defaults.pods.text()},
                                 .fds = {{0, their_orders.get()}, {1, their_words.get()}}})
                     .value();
    their_words.reset();
    std::array<char, 256> text{};
    const ssize_t n = ::read(said.get(), text.data(), text.size());
    ASSERT_EQ(std::string(text.data(), static_cast<size_t>(std::max<ssize_t>(n, 0))), "up\n");
  }
  void TearDown() override {
    orders_.reset();
    attendant_.reset();
    holder_.reset();
    VxlanFixture::TearDown();
  }
  void order(const char* line) { ASSERT_TRUE(write_all(orders_.get(), line, "orders")); }

  // To anybody, pods included.
  [[nodiscard]] bool leads_over_vxlan() const {
    const Result<bool> any = user(0).run([]() -> Result<bool> {
      Socket socket = TRY(Socket::open());
      const Link link = TRY(find_link(socket, kVxlanLink)).value();
      const std::vector<Route> routes = TRY(list_routes(socket));
      return std::any_of(routes.begin(), routes.end(),
                         [&](const Route& route) { return route.link == link.index; });
    });
    return any.value();
  }

  UniqueFd orders_;
  std::optional<Process> attendant_;

 private:
  // Somebody has to be in them to be entered by.
  void hold_namespaces() {
    std::array<int, 2> fds{};
    ASSERT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    const UniqueFd entered(fds[0]);
    UniqueFd says(fds[1]);
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      if (::setns(users_.at(0).user_namespace().get(), CLONE_NEWUSER) != 0 ||
          ::setns(user(0).fd(), CLONE_NEWNET) != 0 || ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 ||
          ::write(says.get(), "+", 1) != 1)
        ::_exit(1);
      for (;;) ::pause();
    }
    says.reset();
    holder_ = Process::adopt(pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
    char answer = 0;
    ASSERT_EQ(::read(entered.get(), &answer, 1), 1);
  }

  std::optional<Process> holder_;
};

TEST_F(VxlanAttendant, LeadsToANodeAndNotAnyMore) {
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_FALSE(reaches(0, 1));
  order("1\n");
  EXPECT_TRUE(becomes_true([this] { return reaches(0, 1); }));
  order("-1\n");
  EXPECT_TRUE(becomes_true([this] { return !reaches(0, 1); }));
  EXPECT_TRUE(becomes_true([this] { return !leads_over_vxlan(); }));
  orders_.reset();
  const auto ended = attendant_->wait_for(std::chrono::seconds(10)).value();
  ASSERT_TRUE(ended);
  EXPECT_EQ(shell_exit_code(*ended), 0);
  down();
}

TEST_F(VxlanAttendant, EndsWithTheLink) {
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_EQ(::kill(keeper(0), SIGKILL), 0);
  EXPECT_TRUE(attendant_->wait_for(std::chrono::seconds(10)).value());
  down();
}

}  // namespace
}  // namespace conode::test
