// SPDX-License-Identifier: Apache-2.0
// What containerd tells of its containers and tasks (containerd.events.*), decoded.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "agent/base/result.h"

namespace conode::containerd {

// The subscription stands: whatever happens from here on is told. List the containers now, and
// after each further one: it comes again when containerd was restarted and events may have been
// missed.
struct Subscribed {};
// The last event: the subscription failed for good.
struct SubscriptionFailed {
  Error error;
};
struct ContainerCreated {
  std::string image;
};
struct ContainerDeleted {};
struct TaskCreated {
  uint32_t pid = 0;
};
struct TaskStarted {
  uint32_t pid = 0;
};
struct TaskExited {
  std::string process;  // the container's own, or that of an exec
  uint32_t pid = 0;
  uint32_t exit_code = 0;
  bool main_process = true;
};
struct TaskOutOfMemory {};
struct TaskDeleted {
  uint32_t exit_code = 0;
};

struct Event {
  std::string container;  // id; empty for the subscription's own
  std::chrono::system_clock::time_point time;
  std::variant<Subscribed, SubscriptionFailed, ContainerCreated, ContainerDeleted, TaskCreated,
               TaskStarted, TaskExited, TaskOutOfMemory, TaskDeleted>
      what;
};

// A running subscription and its thread. Move-only. The destructor ends the stream and waits for
// the thread; not to be called from the callback.
class EventStream {
 public:
  EventStream(EventStream&&) noexcept;
  EventStream& operator=(EventStream&&) noexcept;
  ~EventStream();

 private:
  friend class ContainerdClient;
  struct Impl;
  explicit EventStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace conode::containerd
