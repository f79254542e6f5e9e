// SPDX-License-Identifier: Apache-2.0
// Private to this folder: what ContainerdClient's parts share.
#pragma once

#include <fmt/format.h>

#include "agent/containerd/containerd.h"
#include "agent/containerd/rpc.h"

namespace conode::containerd {

struct ContainerdClient::Impl {
  explicit Impl(const std::string& socket_in)
      : socket(socket_in), rpc(std::make_shared<Rpc>(socket_in)) {}

  // "list images of containerd '/run/x.sock'"
  [[nodiscard]] std::string doing(std::string_view operation) const {
    return fmt::format("{} of containerd '{}'", operation, socket);
  }

  std::string socket;
  std::shared_ptr<Rpc> rpc;
};

}  // namespace conode::containerd
