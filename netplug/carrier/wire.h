// SPDX-License-Identifier: Apache-2.0
// Little-endian numbers in byte ranges whose size the caller has checked.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace conode::carrier {

static_assert(std::endian::native == std::endian::little, "wire numbers are copied as they are");

template <typename T>
[[nodiscard]] T load(std::span<const uint8_t> bytes, size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <typename T>
void store(std::span<uint8_t> bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

}  // namespace conode::carrier
