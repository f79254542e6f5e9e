// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/sysctl.h"

#include "agent/base/file.h"

namespace conode {
namespace {

constexpr const char* kRoot = "/proc/sys/net/";

}  // namespace

Result<std::string> network_sysctl(const std::string& name) {
  std::string value = TRY(read_file(kRoot + name));
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

Result<void> set_network_sysctl(const std::string& name, const std::string& value) {
  if (TRY(network_sysctl(name)) == value) return {};
  return write_value(kRoot + name, value);
}

}  // namespace conode
