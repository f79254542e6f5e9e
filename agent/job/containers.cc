// SPDX-License-Identifier: Apache-2.0
#include "agent/job/containers.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "agent/base/log.h"
#include "agent/containerd/containerd.h"

namespace conode::job {

namespace asio = boost::asio;

namespace {

// Empty: it is no bad end.
std::string bad_end(const containerd::Event& event) {
  if (std::holds_alternative<containerd::TaskOutOfMemory>(event.what)) return "out of memory";
  const auto* exited = std::get_if<containerd::TaskExited>(&event.what);
  if (exited == nullptr || !exited->main_process || exited->exit_code == 0) return {};
  return fmt::format("exit code {}", exited->exit_code);
}

std::string name_of(const std::string& socket, const std::string& container) {
  const auto all = containerd::ContainerdClient(socket).containers();
  if (!all) return {};
  for (const containerd::Container& c : *all)
    if (c.id == container) return fmt::format("{}/{} {}", c.pod_namespace, c.pod_name, c.name);
  return {};
}

}  // namespace

Containers::Containers(asio::io_context& loop, std::string socket, Handlers handlers)
    : loop_(loop), socket_(std::move(socket)), handlers_(std::move(handlers)) {}

void Containers::import(const std::string& source) {
  ++awaited_;
  import_for(source, {}, [this](const Result<void>& done) {
    if (!done) return handlers_.failed(done.error());
    --awaited_;
    handlers_.imported();
  });
}

void Containers::import_for(const std::string& source, const std::string& name, Done done) {
  when_ready([this, source, name, done = std::move(done)] {
    asio::post(importing_, [this, source, name, done] {
      const auto imported = containerd::ContainerdClient(socket_).import_image(
          source, {.name = name, .architecture = {}, .on_progress = {}});
      const Result<void> outcome =
          imported ? Result<void>() : tl::make_unexpected(imported.error());
      asio::post(loop_, [done, outcome] { done(outcome); });
    });
  });
}

void Containers::remove_for(const std::string& name, Done done) {
  when_ready([this, name, done = std::move(done)] {
    asio::post(importing_, [this, name, done] {
      const auto removed = containerd::ContainerdClient(socket_).remove_image(name);
      const Result<void> outcome = removed ? Result<void>() : tl::make_unexpected(removed.error());
      asio::post(loop_, [done, outcome] { done(outcome); });
    });
  });
}

void Containers::when_ready(std::function<void()> task) {
  if (ready_)
    task();
  else
    queued_.push_back(std::move(task));
}

void Containers::on_ready() {
  ready_ = true;
  for (const auto& task : std::exchange(queued_, {})) task();
  if (events_) return;  // it subscribes again by itself
  events_ = containerd::ContainerdClient(socket_).events([this](const containerd::Event& event) {
    // Now: Kubernetes removes what has ended.
    const std::string name = bad_end(event).empty() ? "" : name_of(socket_, event.container);
    asio::post(loop_, [this, event, name] { on_event(event, name); });
  });
}

void Containers::on_event(const containerd::Event& event, const std::string& name) {
  constexpr size_t kRemembered = 32;
  if (const auto* failed = std::get_if<containerd::SubscriptionFailed>(&event.what)) {
    log::warning("containers that end badly are not noticed any more: {}", failed->error.message());
    return events_.reset();  // again with the next containerd
  }
  // A pod's pause container is always killed.
  if (const auto* created = std::get_if<containerd::ContainerCreated>(&event.what);
      created != nullptr && created->image.find("/pause:") != std::string::npos)
    pauses_.insert(event.container);
  if (std::holds_alternative<containerd::ContainerDeleted>(event.what))
    pauses_.erase(event.container);
  if (pauses_.contains(event.container)) return;
  const std::string what = bad_end(event);
  if (what.empty()) return;
  bad_ends_.push_back({event.container, name, event.time, what});
  if (bad_ends_.size() > kRemembered) bad_ends_.pop_front();
}

void Containers::stop() {
  events_.reset();
  importing_.stop();  // what has not begun
  importing_.join();
}

}  // namespace conode::job
