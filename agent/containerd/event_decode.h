// SPDX-License-Identifier: Apache-2.0
// Private to this folder: an event on the wire -> Event.
#pragma once

#include <optional>
#include <string_view>

#include "agent/containerd/event.h"

namespace conode::containerd {

// `type` is the name of the message in containerd.events, `bytes` the message. Empty for types that
// Event does not know and for bytes that are no such message. `time` is left to the caller.
[[nodiscard]] std::optional<Event> decode_event(std::string_view type, std::string_view bytes);

}  // namespace conode::containerd
