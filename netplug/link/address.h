// SPDX-License-Identifier: Apache-2.0
// IPv4, IPv6 and Ethernet addresses as values. Any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "agent/base/result.h"

namespace conode {

struct Ipv4Address {
  uint32_t value = 0;  // host byte order

  // "10.244.0.5"
  [[nodiscard]] static Result<Ipv4Address> parse(const std::string& text);
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Ipv4Address&) const = default;
};

// An address with the length of its prefix: an interface's address, a route's destination, a range.
struct Ipv4Prefix {
  Ipv4Address address;
  int length = 32;

  // "10.244.0.0/24"; the length is required.
  [[nodiscard]] static Result<Ipv4Prefix> parse(const std::string& text);
  [[nodiscard]] std::string text() const;
  // The first address, and how many there are (2^32 for /0).
  [[nodiscard]] Ipv4Address network() const;
  [[nodiscard]] uint64_t size() const { return uint64_t{1} << static_cast<unsigned>(32 - length); }
  [[nodiscard]] bool contains(Ipv4Address other) const;
  auto operator<=>(const Ipv4Prefix&) const = default;
};

struct Ipv6Address {
  std::array<uint8_t, 16> bytes{};  // network byte order

  // "fd00::5"
  [[nodiscard]] static Result<Ipv6Address> parse(const std::string& text);
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Ipv6Address&) const = default;
};

struct Ipv6Prefix {
  Ipv6Address address;
  int length = 128;

  // "fd00:10:244::/64"; the length is required.
  [[nodiscard]] static Result<Ipv6Prefix> parse(const std::string& text);
  [[nodiscard]] std::string text() const;
  // The address `place` after the first one.
  [[nodiscard]] Ipv6Address at(uint32_t place) const;
  auto operator<=>(const Ipv6Prefix&) const = default;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  // A locally administered unicast address from the low 46 bits of `seed`: same seed, same address.
  [[nodiscard]] static MacAddress from_seed(uint64_t seed);
  // "02:00:5e:10:00:01"
  [[nodiscard]] std::string text() const;
  auto operator<=>(const MacAddress&) const = default;
};

}  // namespace conode
