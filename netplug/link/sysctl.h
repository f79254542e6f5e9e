// SPDX-License-Identifier: Apache-2.0
// Network settings below /proc/sys/net, of the calling thread's network namespace. Names are paths,
// so that an interface with a dot in its name needs no escape: "ipv4/conf/eth0.7/rp_filter".
// Source: kernel Documentation/networking/ip-sysctl.rst.
#pragma once

#include <string>

#include "agent/base/result.h"

namespace conode {

// Writes where the value differs: reading is free, some writes walk every interface.
[[nodiscard]] Result<void> set_network_sysctl(const std::string& name, const std::string& value);

// Without the final newline.
[[nodiscard]] Result<std::string> network_sysctl(const std::string& name);

}  // namespace conode
