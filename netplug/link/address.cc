// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace conode {

Result<Ipv4Address> Ipv4Address::parse(const std::string& text) {
  in_addr raw{};
  if (::inet_pton(AF_INET, text.c_str(), &raw) != 1)
    return failure(fmt::format("read '{}' as an IPv4 address", text), "write it as 10.244.0.5");
  return Ipv4Address{ntohl(raw.s_addr)};
}

std::string Ipv4Address::text() const {
  return fmt::format("{}.{}.{}.{}", value >> 24U, (value >> 16U) & 0xffU, (value >> 8U) & 0xffU,
                     value & 0xffU);
}

Result<Ipv4Prefix> Ipv4Prefix::parse(const std::string& text) {
  const size_t slash = text.find('/');
  int length = -1;
  if (slash != std::string::npos) {
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, length);
    if (error != std::errc{} || stop != end) length = -1;
  }
  if (length < 0 || length > 32)
    return failure(fmt::format("read '{}' as an IPv4 prefix", text), "write it as 10.244.0.0/24");
  const Ipv4Address address = TRY(Ipv4Address::parse(text.substr(0, slash)));
  return Ipv4Prefix{address, length};
}

std::string Ipv4Prefix::text() const { return fmt::format("{}/{}", address.text(), length); }

Ipv4Address Ipv4Prefix::network() const {
  return {static_cast<uint32_t>(address.value & ~(size() - 1))};
}

bool Ipv4Prefix::contains(Ipv4Address other) const {
  return Ipv4Prefix{other, length}.network() == network();
}

MacAddress MacAddress::from_seed(uint64_t seed) {
  MacAddress mac;
  for (size_t i = 0; i < mac.bytes.size(); ++i)
    mac.bytes[i] = static_cast<uint8_t>(seed >> (8U * (mac.bytes.size() - 1 - i)));
  mac.bytes[0] = static_cast<uint8_t>((mac.bytes[0] & 0xfcU) | 0x02U);
  return mac;
}

std::string MacAddress::text() const { return fmt::format("{:02x}", fmt::join(bytes, ":")); }

}  // namespace conode
