// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/sandbox/protocol.h"
#include "agent/services/failure_report.h"
#include "agent/services/service.h"

namespace conode::services {
namespace {

using ::testing::HasSubstr;

TEST(ServiceTable, ADayInALife) {
  const std::array<std::pair<Event, State>, 7> day{{
      {Event::dependencies_ready, State::starting},
      {Event::became_ready, State::ready},
      {Event::exited, State::backing_off},
      {Event::backoff_over, State::starting},
      {Event::ready_timeout, State::starting},
      {Event::exited, State::backing_off},
      {Event::gave_up, State::failed},
  }};
  State state = State::waiting;
  for (const auto& [event, expected] : day) {
    const auto transition = next(state, event);
    ASSERT_TRUE(transition) << to_string(state);
    state = transition->to;
    EXPECT_EQ(state, expected);
  }
}

TEST(ServiceTable, WhatMeansNothingIsIgnored) {
  EXPECT_FALSE(next(State::waiting, Event::exited));
  EXPECT_FALSE(next(State::failed, Event::backoff_over));
  EXPECT_FALSE(next(State::ready, Event::became_ready));
}

TEST(ServiceTable, AProgramThatCannotStartIsNotRestarted) {
  const auto transition = next(State::starting, Event::start_failed);
  ASSERT_TRUE(transition);
  EXPECT_EQ(transition->to, State::failed);
  EXPECT_EQ(transition->action, Action::report);
}

TEST(Backoff, DoublesUpToTenSeconds) {
  EXPECT_EQ(backoff(0).count(), 100);
  EXPECT_EQ(backoff(3).count(), 800);
  EXPECT_EQ(backoff(50).count(), 10000);
}

TEST(Attempts, OneThatHasLivedIsNoneOfARow) {
  EXPECT_EQ(attempts_in_a_row(kMostAttempts, std::chrono::seconds(9)), kMostAttempts);
  EXPECT_EQ(attempts_in_a_row(kMostAttempts, std::chrono::seconds(10)), 1);
  EXPECT_EQ(attempts_in_a_row(0, std::chrono::seconds(10)), 0);
}

TEST(FailureReport, ShowsTheLastLinesAndWhatTheyMean) {
  const TempDir dir = TempDir::create().value();
  const std::string log = dir.path() + "/etcd.log";
  ASSERT_TRUE(replace_file(log, "first\nwrite wal: no space left on device\n"));
  const Error error = explain_failure("etcd", "exit code 1", log);
  EXPECT_THAT(error.message(), HasSubstr("service 'etcd' does not run (exit code 1)"));
  EXPECT_THAT(error.message(), HasSubstr("no space left on device"));
  EXPECT_THAT(error.remedy, HasSubstr("--state-dir"));
}

TEST(FailureReport, AnUnknownReasonLeadsToTheLog) {
  const Error error = explain_failure("etcd", "signal 9 (Killed)", "/nonexistent/etcd.log");
  EXPECT_THAT(error.remedy, HasSubstr("conode logs etcd"));
}

TEST(LastLines, CountsFromTheEnd) {
  EXPECT_EQ(last_lines("a\nb\nc\n", 2), "b\nc");
  EXPECT_EQ(last_lines("a\nb", 5), "a\nb");
  EXPECT_EQ(last_lines("", 3), "");
}

class Protocol : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
    near_.reset(pair[0]);
    far_.reset(pair[1]);
  }
  UniqueFd near_;
  UniqueFd far_;
};

TEST_F(Protocol, AMessageArrivesWithItsDescriptor) {
  sandbox::Message sent{
      sandbox::Kind::start, 7, 2, {"etcd", "/bin/etcd", "", "A=b"}, UniqueFd(::dup(near_.get()))};
  ASSERT_TRUE(sandbox::send(near_.get(), sent));
  const auto received = sandbox::receive(far_.get()).value();
  ASSERT_TRUE(received);
  EXPECT_EQ(received->kind, sandbox::Kind::start);
  EXPECT_EQ(received->id, 7U);
  EXPECT_EQ(received->value, 2);
  EXPECT_EQ(received->strings, sent.strings);
  EXPECT_TRUE(received->fd);
}

TEST_F(Protocol, TheEndAndAnEmptyQueueAreNoMessages) {
  EXPECT_TRUE(
      sandbox::receive(far_.get(), false).error().is(std::errc::resource_unavailable_try_again));
  near_.reset();
  EXPECT_FALSE(sandbox::receive(far_.get()).value());
}

TEST_F(Protocol, AShortPacketIsRefused) {
  ASSERT_EQ(::send(near_.get(), "xy", 2, 0), 2);
  EXPECT_TRUE(sandbox::receive(far_.get()).error().is(std::errc::protocol_error));
}

TEST_F(Protocol, WhatIsTooLongIsNotSent) {
  sandbox::Message message{sandbox::Kind::setup, 0, 0, {std::string(1U << 20U, 'x')}, {}};
  EXPECT_TRUE(sandbox::send(near_.get(), message).error().is(std::errc::message_size));
}

}  // namespace
}  // namespace conode::services
