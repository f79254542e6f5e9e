// SPDX-License-Identifier: Apache-2.0
// Which node of the job owns an address: every node has the same share of a few base prefixes, by
// rank. Looking an owner up is arithmetic, without a table. Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/base/result.h"

namespace conode {

using Rank = uint32_t;

// IPv4 or IPv6. `bits` holds the address from its most significant bit on, so that a prefix of
// length L is the first L bits of either family.
struct IpAddress {
  unsigned __int128 bits = 0;
  bool v6 = false;

  // From network byte order: 4 or 16 bytes.
  [[nodiscard]] static IpAddress from_bytes(std::span<const uint8_t> bytes);
  // "10.244.0.5", "fd00::5"
  [[nodiscard]] static Result<IpAddress> parse(const std::string& text);
  [[nodiscard]] std::string text() const;
  bool operator==(const IpAddress&) const = default;
};

// Rank r owns the (r + first)-th sub-prefix of length `rank_length` in `base`:
// {"10.88.0.0/16", 32, 1} gives 10.88.0.1 to rank 0; {"10.244.0.0/16", 24, 0} 10.244.3.0/24 to 3.
struct RankedPrefix {
  std::string base;
  int rank_length = 0;
  uint32_t first = 0;
};

class AddressPlan {
 public:
  // Fails on text that is no prefix, a base with host bits, prefixes that overlap, and where a base
  // has no room for `ranks` nodes.
  [[nodiscard]] static Result<AddressPlan> create(const std::vector<RankedPrefix>& prefixes,
                                                  uint32_t ranks);

  // Empty where no rank owns the address.
  [[nodiscard]] std::optional<Rank> owner(const IpAddress& address) const {
    for (const Share& share : shares_) {
      const unsigned __int128 beyond = address.bits - share.base;
      if (address.v6 != share.v6 || address.bits < share.base || beyond > share.last) continue;
      const auto index = static_cast<uint64_t>(beyond >> share.shift);
      if (index < share.first || index - share.first >= ranks_) return std::nullopt;
      return static_cast<Rank>(index - share.first);
    }
    return std::nullopt;
  }

  // The share of `rank` in the prefix that create() had at `index`: "10.244.3.0/24",
  // "10.88.0.4/32".
  [[nodiscard]] std::string share(size_t index, Rank rank) const;
  [[nodiscard]] uint32_t ranks() const { return ranks_; }

 private:
  struct Share {
    unsigned __int128 base = 0;
    unsigned __int128 last = 0;  // of the base prefix, relative to `base`
    unsigned shift = 0;          // 128 - rank_length
    uint32_t first = 0;
    int rank_length = 0;
    bool v6 = false;
  };
  [[nodiscard]] static Result<Share> parse(const RankedPrefix& prefix, uint32_t ranks);

  std::vector<Share> shares_;
  uint32_t ranks_ = 0;
};

}  // namespace conode
