// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/address_plan.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace conode {
namespace {

using Bits = unsigned __int128;

constexpr int kBits = 128;

Result<int> parse_length(const std::string& text, bool v6) {
  int length = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc{} || end != text.data() + text.size() || length < 0 ||
      length > (v6 ? 128 : 32))
    return failure(fmt::format("read the length of a prefix from '{}'", text));
  return length;
}

}  // namespace

IpAddress IpAddress::from_bytes(std::span<const uint8_t> bytes) {
  IpAddress made{.v6 = bytes.size() == 16};
  for (const uint8_t byte : bytes) made.bits = made.bits << 8U | byte;
  if (!made.v6) made.bits <<= 96U;
  return made;
}

Result<IpAddress> IpAddress::parse(const std::string& text) {
  std::array<uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1)
    return from_bytes(std::span(bytes).first(4));
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return from_bytes(bytes);
  return failure(fmt::format("'{}' is no IP address", text));
}

std::string IpAddress::text() const {
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>(bits >> (kBits - 8 - 8 * static_cast<int>(i)));
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text.data(), text.size());
  return text.data();
}

Result<AddressPlan::Share> AddressPlan::parse(const RankedPrefix& prefix, uint32_t ranks) {
  const size_t slash = prefix.base.find('/');
  if (slash == std::string::npos)
    return failure(fmt::format("'{}' is no prefix", prefix.base), "write ADDRESS/LENGTH");
  const IpAddress base = TRY(IpAddress::parse(prefix.base.substr(0, slash)));
  const int length = TRY(parse_length(prefix.base.substr(slash + 1), base.v6));
  const int width = base.v6 ? 128 : 32;
  if (prefix.rank_length < length || prefix.rank_length > width ||
      prefix.rank_length - length > 64 || prefix.rank_length == 0)
    return failure(
        fmt::format("prefix '{}' cannot be divided into '/{}'", prefix.base, prefix.rank_length));
  const int spare = std::min(prefix.rank_length - length, 63);
  const uint64_t room = uint64_t{1} << static_cast<unsigned>(spare);
  if (room < uint64_t{ranks} + prefix.first)
    return failure(fmt::format("prefix '{}' has {} parts of '/{}' for {} nodes", prefix.base, room,
                               prefix.rank_length, ranks),
                   "use a shorter base prefix or longer parts");
  const Bits all = ~Bits{0};
  Share share{.base = base.bits,
              .last = length == 0 ? all : (all >> static_cast<unsigned>(length)),
              .shift = static_cast<unsigned>(kBits - prefix.rank_length),
              .first = prefix.first,
              .rank_length = prefix.rank_length,
              .v6 = base.v6};
  if (!base.v6) share.last &= all << 96U;
  if ((share.base & share.last) != 0)
    return failure(fmt::format("prefix '{}' has bits beyond its length", prefix.base));
  return share;
}

Result<AddressPlan> AddressPlan::create(const std::vector<RankedPrefix>& prefixes, uint32_t ranks) {
  AddressPlan plan;
  plan.ranks_ = ranks;
  for (const RankedPrefix& prefix : prefixes) {
    const Share made = TRY_AS("plan the addresses", parse(prefix, ranks));
    for (const Share& other : plan.shares_)
      if (other.v6 == made.v6 &&
          (made.base - other.base <= other.last || other.base - made.base <= made.last))
        return failure(
            fmt::format("plan the addresses: prefix '{}' overlaps another", prefix.base));
    plan.shares_.push_back(made);
  }
  return plan;
}

std::string AddressPlan::share(size_t index, Rank rank) const {
  const Share& share = shares_.at(index);
  const IpAddress address{share.base + ((Bits{share.first} + rank) << share.shift), share.v6};
  return fmt::format("{}/{}", address.text(), share.rank_length);
}

}  // namespace conode
