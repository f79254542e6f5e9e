// SPDX-License-Identifier: Apache-2.0
// Bytes to messages and back, with every check that needs no state: who decodes may trust ranks,
// sizes and names. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/bus/keys.h"
#include "agent/bus/wire.pb.h"

namespace conode::bus {

inline constexpr size_t kMostTopology = 1U << 20U;
inline constexpr size_t kMostMessage = 16U << 20U;     // bytes of one ZeroMQ message
inline constexpr size_t kMostPayload = 15U << 20U;     // bytes of a conode.bus.Message
inline constexpr uint32_t kPieceSize = 256U << 10U;    // of a file, what we send
inline constexpr uint32_t kMostPieceSize = 4U << 20U;  // what we accept
inline constexpr size_t kMostDatagram = 1200;

// Empty where the bytes are no message that a neighbour in a job of `size` agents may send.
[[nodiscard]] std::optional<wire::Envelope> decode_envelope(std::string_view bytes, uint32_t size);

// Of the rendezvous: unsealed, parsed, checked.
[[nodiscard]] std::optional<wire::Datagram> decode_datagram(std::string_view sealed, const Key& key,
                                                            uint32_t size);
[[nodiscard]] std::string encode_datagram(const wire::Datagram& datagram, const Key& key);

// A name for a file in a directory: not empty, no '/', not '.' or '..', at most 255 bytes.
[[nodiscard]] bool is_file_name(std::string_view name);
// "tcp://ADDRESS:PORT", at most 128 bytes.
[[nodiscard]] bool is_endpoint(std::string_view endpoint);

}  // namespace conode::bus
