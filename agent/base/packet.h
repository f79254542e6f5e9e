// SPDX-License-Identifier: Apache-2.0
// Packets with descriptors beside them (SCM_RIGHTS, unix(7)) on SOCK_SEQPACKET sockets: one packet
// a message. Any thread, one at a time for each end.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode {

struct Packet {
  std::string data;           // at most kLongestPacket bytes
  std::vector<UniqueFd> fds;  // at most kMostPacketFds
};
inline constexpr size_t kLongestPacket = 65536;
inline constexpr size_t kMostPacketFds = 8;

// Blocks while the peer's queue is full, unless the socket is non-blocking (EAGAIN).
[[nodiscard]] Result<void> send_packet(int socket, std::string_view data,
                                       const std::vector<int>& fds = {});

// The next packet; empty optional when the peer is gone.
[[nodiscard]] Result<std::optional<Packet>> receive_packet(int socket);

}  // namespace conode
