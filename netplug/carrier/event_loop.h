// SPDX-License-Identifier: Apache-2.0
// epoll(7), an eventfd(2) that wakes it, and a thread that runs it: what every thread of a relay
// is. Made before its thread starts; wake() and stop() from any thread.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode::carrier {

class EventLoop {
 public:
  [[nodiscard]] static Result<std::unique_ptr<EventLoop>> create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() { stop(); }

  // Any thread. `tag` comes back with the events.
  [[nodiscard]] Result<void> watch(int fd, uint32_t events, void* tag) const;
  // A descriptor that is no longer watched is left alone.
  void change(int fd, uint32_t events, void* tag) const;
  void forget(int fd) const;

  // Calls `step` with the events that came within `timeout`, possibly none, until stop(). `step`
  // returns the longest time until its next call; negative: until an event. The thread is called
  // `name` (at most 15 characters) and runs on `cpus` only, where that is possible.
  using Step = std::function<std::chrono::milliseconds(std::span<const epoll_event>)>;
  [[nodiscard]] Result<void> start(const std::string& name, const std::vector<int>& cpus,
                                   Step step);
  // After an event, look for the next one without sleeping for this long. Before start().
  void set_spin(std::chrono::microseconds spin) { spin_ = spin; }
  void wake() const;
  void stop();  // joins; idempotent
  [[nodiscard]] bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

 private:
  EventLoop(UniqueFd epoll, UniqueFd event) : epoll_(std::move(epoll)), event_(std::move(event)) {}
  void run(const Step& step);
  [[nodiscard]] std::optional<size_t> wait(std::span<epoll_event> events,
                                           std::chrono::milliseconds timeout) const;
  [[nodiscard]] std::optional<size_t> spin(std::span<epoll_event> events) const;

  UniqueFd epoll_;
  UniqueFd event_;
  std::chrono::microseconds spin_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace conode::carrier
