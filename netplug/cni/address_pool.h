// SPDX-License-Identifier: Apache-2.0
// The addresses of a node's range, and who holds which, as a directory: one symbolic link for each
// address in use, `10.244.0.5 -> CONTAINER/INTERFACE`. symlink(2) both refuses an address that is
// taken and writes its holder in one step, so there is no lock, no half-written file and nothing to
// repair after kill -9: an address is free or has a holder, and GC frees those whose holder the
// runtime does not know. Any thread, any number of processes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "netplug/cni/request.h"
#include "netplug/link/address.h"

namespace conode::cni {

struct Reservation {
  Ipv4Address address;
  Attachment holder;  // empty: something else occupies the name; GC takes it for stale
};

class AddressPool {
 public:
  // `directory` is made by the first reservation. Of ranges larger than /31 the first and the last
  // address are never given out, nor is `excluded`.
  AddressPool(std::string directory, const Ipv4Prefix& range,
              std::optional<Ipv4Address> excluded = std::nullopt)
      : directory_(std::move(directory)), range_(range), excluded_(excluded) {}

  // An address of the range that was free, the longest unused first as far as it can be told.
  // Empty optional when all are taken.
  [[nodiscard]] Result<std::optional<Ipv4Address>> reserve(const Attachment& holder) const;

  // False when it was free already, or is held by another.
  [[nodiscard]] Result<bool> release(const Reservation& reservation) const;

  // Of this directory, whatever the range; names that are no address are not looked at.
  [[nodiscard]] Result<std::vector<Reservation>> list() const;

  // How many addresses there are in all.
  [[nodiscard]] uint64_t capacity() const;
  // Is there room for a reservation, and may we write one? Makes the directory where it is missing.
  [[nodiscard]] Result<uint64_t> count_free() const;

 private:
  [[nodiscard]] Result<UniqueFd> open_directory() const;
  [[nodiscard]] uint64_t places() const;  // capacity, with the excluded address
  [[nodiscard]] Ipv4Address at(uint64_t index) const;

  std::string directory_;
  Ipv4Prefix range_;
  std::optional<Ipv4Address> excluded_;
};

}  // namespace conode::cni
