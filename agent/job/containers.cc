// SPDX-License-Identifier: Apache-2.0
#include "agent/job/containers.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <utility>

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
  if (ready_)
    begin_import(source);
  else
    queued_.push_back(source);
}

void Containers::on_ready() {
  ready_ = true;
  for (const std::string& source : std::exchange(queued_, {})) begin_import(source);
  if (events_) return;  // it subscribes again by itself
  events_ = containerd::ContainerdClient(socket_).events([this](const containerd::Event& event) {
    // Now: Kubernetes removes what has ended.
    const std::string name = bad_end(event).empty() ? "" : name_of(socket_, event.container);
    asio::post(loop_, [this, event, name] { on_event(event, name); });
  });
}

void Containers::begin_import(const std::string& source) {
  asio::post(importing_, [this, source] {
    const auto imported = containerd::ContainerdClient(socket_).import_image(source);
    asio::post(loop_, [this, source, error = imported ? Error{} : imported.error()] {
      if (!error.context.empty()) return handlers_.failed(error);
      --awaited_;
      handlers_.imported(source);
    });
  });
}

void Containers::on_event(const containerd::Event& event, const std::string& name) {
  constexpr size_t kRemembered = 32;
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
  importing_.join();
}

}  // namespace conode::job
