// SPDX-License-Identifier: Apache-2.0
// One collection of the API server, followed: a list, then its changes from that version on, and a
// list again when the server has forgotten the version (410 Gone). Source: Kubernetes' "API
// Concepts", efficient detection of changes. The reader is pure; the rest is ApiClient's.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/base/result.h"

namespace conode::kubernetes {

struct WatchHandlers {
  // All objects that there are: at first, and whenever changes may have been missed.
  std::function<void(const nlohmann::json& items)> listed;
  // `type`: ADDED, MODIFIED or DELETED.
  std::function<void(const std::string& type, const nlohmann::json& object)> changed;
};

class WatchReader {
 public:
  explicit WatchReader(const WatchHandlers& handlers) : handlers_(handlers) {}

  // The body of an answer to a list.
  [[nodiscard]] Result<void> take_list(const std::string& body);
  // One line of a watch; what is no event is ignored. False: the watch is over, list again.
  bool take_line(const std::string& line);

  // Where to go on; empty: with a list.
  [[nodiscard]] const std::string& version() const { return version_; }
  void forget() { version_.clear(); }

 private:
  const WatchHandlers& handlers_;
  std::string version_;
};

}  // namespace conode::kubernetes
