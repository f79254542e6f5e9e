// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/resolve.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <memory>

#include "agent/launch/launcher.h"

namespace conode::launch {

Result<std::string> resolve(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &found); code != 0)
    return failure(fmt::format("find the address of host '{}': {}", name, ::gai_strerror(code)),
                   "name this node's own address on the fabric with --address");
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &::freeaddrinfo);
  std::array<char, INET_ADDRSTRLEN> text{};
  const auto* address = reinterpret_cast<const sockaddr_in*>(found->ai_addr);
  ::inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size());
  return std::string(text.data());
}

Result<std::string> own_address_towards(const std::string& host) {
  return address_towards(TRY(resolve(host)));
}

}  // namespace conode::launch
