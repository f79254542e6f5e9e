// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace conode {
namespace {

// What follows the slash of a prefix; -1 where that is no number.
int length_in(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return -1;
  int length = -1;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, length);
  return error == std::errc{} && stop == end ? length : -1;
}

}  // namespace

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
  const int length = length_in(text);
  if (length < 0 || length > 32)
    return failure(fmt::format("read '{}' as an IPv4 prefix", text), "write it as 10.244.0.0/24");
  const Ipv4Address address = TRY(Ipv4Address::parse(text.substr(0, text.find('/'))));
  return Ipv4Prefix{address, length};
}

std::string Ipv4Prefix::text() const { return fmt::format("{}/{}", address.text(), length); }

Ipv4Address Ipv4Prefix::network() const {
  return {static_cast<uint32_t>(address.value & ~(size() - 1))};
}

bool Ipv4Prefix::contains(Ipv4Address other) const {
  return Ipv4Prefix{other, length}.network() == network();
}

Result<Ipv6Address> Ipv6Address::parse(const std::string& text) {
  Ipv6Address address;
  if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) != 1)
    return failure(fmt::format("read '{}' as an IPv6 address", text), "write it as fd00::5");
  return address;
}

std::string Ipv6Address::text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  (void)::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
  return text.data();
}

Result<Ipv6Prefix> Ipv6Prefix::parse(const std::string& text) {
  const int length = length_in(text);
  if (length < 0 || length > 128)
    return failure(fmt::format("read '{}' as an IPv6 prefix", text),
                   "write it as fd00:10:244::/64");
  const Ipv6Address address = TRY(Ipv6Address::parse(text.substr(0, text.find('/'))));
  return Ipv6Prefix{address, length};
}

std::string Ipv6Prefix::text() const { return fmt::format("{}/{}", address.text(), length); }

Ipv6Address Ipv6Prefix::at(uint32_t place) const {
  Ipv6Address result = address;
  for (int bit = length; bit < 128; ++bit)
    result.bytes[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(0x80U >> (bit % 8)));
  for (size_t i = 0; i < sizeof place; ++i)
    result.bytes[result.bytes.size() - 1 - i] |= static_cast<uint8_t>(place >> (8U * i));
  return result;
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
