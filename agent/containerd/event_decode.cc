// SPDX-License-Identifier: Apache-2.0
#include "agent/containerd/event_decode.h"

#include "events/container.pb.h"
#include "events/task.pb.h"

namespace conode::containerd {
namespace {

namespace wire = ::containerd::events;

Event translate(const wire::ContainerCreate& e) {
  return {e.id(), {}, ContainerCreated{e.image()}};
}
Event translate(const wire::ContainerDelete& e) { return {e.id(), {}, ContainerDeleted{}}; }
Event translate(const wire::TaskCreate& e) { return {e.container_id(), {}, TaskCreated{e.pid()}}; }
Event translate(const wire::TaskStart& e) { return {e.container_id(), {}, TaskStarted{e.pid()}}; }
Event translate(const wire::TaskOOM& e) { return {e.container_id(), {}, TaskOutOfMemory{}}; }
Event translate(const wire::TaskDelete& e) {
  return {e.container_id(), {}, TaskDeleted{e.exit_status()}};
}
Event translate(const wire::TaskExit& e) {
  return {e.container_id(),
          {},
          TaskExited{.process = e.id(),
                     .pid = e.pid(),
                     .exit_code = e.exit_status(),
                     .main_process = e.id() == e.container_id()}};
}

template <typename Message>
std::optional<Event> decode(std::string_view bytes) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return {};
  return translate(message);
}

struct Decoder {
  std::string_view type;
  std::optional<Event> (*decode)(std::string_view bytes);
};
constexpr Decoder kDecoders[] = {
    {"containerd.events.ContainerCreate", decode<wire::ContainerCreate>},
    {"containerd.events.ContainerDelete", decode<wire::ContainerDelete>},
    {"containerd.events.TaskCreate", decode<wire::TaskCreate>},
    {"containerd.events.TaskStart", decode<wire::TaskStart>},
    {"containerd.events.TaskExit", decode<wire::TaskExit>},
    {"containerd.events.TaskOOM", decode<wire::TaskOOM>},
    {"containerd.events.TaskDelete", decode<wire::TaskDelete>},
};

}  // namespace

std::optional<Event> decode_event(std::string_view type, std::string_view bytes) {
  // containerd sends the bare name; protobuf's own way puts a host before it.
  type.remove_prefix(type.rfind('/') == std::string_view::npos ? 0 : type.rfind('/') + 1);
  for (const Decoder& decoder : kDecoders)
    if (decoder.type == type) return decoder.decode(bytes);
  return {};
}

}  // namespace conode::containerd
