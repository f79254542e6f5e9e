// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/event_loop.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <csignal>

namespace conode::carrier {
namespace {

void settle_thread(const std::string& name, const std::vector<int>& cpus) {
  (void)::pthread_setname_np(::pthread_self(), name.c_str());
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<size_t>(cpu), &set);
  (void)::sched_setaffinity(0, sizeof set, &set);  // a wish: the cgroup has the last word
}

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return errno_failure("epoll_create1");
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return errno_failure("eventfd");
  std::unique_ptr<EventLoop> made(new EventLoop(std::move(epoll), std::move(event)));
  TRY(made->watch(made->event_.get(), EPOLLIN, nullptr));
  return made;
}

Result<void> EventLoop::watch(int fd, uint32_t events, void* tag) const {
  epoll_event event{.events = events, .data = {.ptr = tag}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return errno_failure("watch a descriptor");
  return {};
}

void EventLoop::change(int fd, uint32_t events, void* tag) const {
  epoll_event event{.events = events, .data = {.ptr = tag}};
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::forget(int fd) const {
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

// Signals are for the thread that started us.
Result<void> EventLoop::start(const std::string& name, const std::vector<int>& cpus, Step step) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  (void)::pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<void> outcome;
  try {
    thread_ = std::thread([this, name, cpus, step = std::move(step)] {
      settle_thread(name, cpus);
      run(step);
    });
  } catch (const std::system_error& error) {
    outcome = code_failure(error.code().value(), "start thread '" + name + "'");
  }
  (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return outcome;
}

void EventLoop::run(const Step& step) {
  std::array<epoll_event, 64> events{};
  std::chrono::milliseconds timeout{0};
  while (!stopping()) {
    std::optional<size_t> mine = spin(events);
    if (!mine) mine = wait(events, timeout);
    if (!stopping()) timeout = step({events.data(), mine.value_or(0)});
  }
}

// As wait(), for `spin_` at most.
std::optional<size_t> EventLoop::spin(std::span<epoll_event> events) const {
  if (spin_.count() == 0) return std::nullopt;
  const auto end = std::chrono::steady_clock::now() + spin_;
  do {
    const std::optional<size_t> mine = wait(events, std::chrono::milliseconds(0));
    if (mine) return mine;
  } while (!stopping() && std::chrono::steady_clock::now() < end);
  return std::nullopt;
}

// How many events there are of others than the eventfd, at the front of `events`; empty where
// nothing came.
std::optional<size_t> EventLoop::wait(std::span<epoll_event> events,
                                      std::chrono::milliseconds timeout) const {
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                             static_cast<int>(timeout.count()));
  if (n <= 0) return std::nullopt;
  size_t mine = 0;
  for (const epoll_event& event : events.first(static_cast<size_t>(n))) {
    if (event.data.ptr != nullptr) {
      events[mine++] = event;
      continue;
    }
    eventfd_t ignored = 0;
    (void)::eventfd_read(event_.get(), &ignored);
  }
  return mine;
}

void EventLoop::wake() const { (void)::eventfd_write(event_.get(), 1); }

void EventLoop::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  wake();
  if (thread_.joinable()) thread_.join();
}

}  // namespace conode::carrier
