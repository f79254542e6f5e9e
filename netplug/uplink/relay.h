// SPDX-License-Identifier: Apache-2.0
// The rootless uplink: moves frames between the TUN queues of this node's sandbox and the carriers
// to the other nodes' relays. Super-packets of up to 64 KiB pass unsegmented, checksums stay
// partial; the work of a frame is one read, one send, one receive and one write.
//
// Threads, for each queue: `cn-relay-txN` reads the TUN and sends, `cn-relay-rxN` receives and
// writes; and one control thread (TCP). start() makes the carrier's sockets in the calling thread's
// network namespace, which is the host's. What each header's authentication covers, and what it
// does not: netplug/carrier/handshake.h.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "netplug/carrier/address_plan.h"

namespace conode {

enum class CarrierKind : uint8_t { tcp, udp };
enum class RelayEncryption : uint8_t { none, aes_gcm };

struct RelayPeer {
  Rank rank = 0;
  std::string endpoint;  // of its host: "192.0.2.7:40123"; names are resolved, which blocks
};

struct RelayOptions {
  std::vector<UniqueFd> tun;  // from open_tun(): 1 to 16 queues
  Rank rank = 0;
  AddressPlan plan;                  // also says how many ranks there can be
  std::string secret;                // of the job: at least 16 bytes
  std::string listen = "0.0.0.0:0";  // the fabric's interface; port 0: a free one
  CarrierKind carrier = CarrierKind::tcp;
  RelayEncryption encryption = RelayEncryption::none;  // the same on all nodes
  std::vector<int> cpus;                               // the Kubernetes part's; empty: anywhere
  // How long a thread looks for more before it sleeps, after each frame: saves the wake-ups of a
  // round trip where cores are to spare, takes them from others where not.
  std::chrono::microseconds spin{0};
  size_t datagram = 0;  // UDP: largest payload, bytes; 0: by the path's MTU
};

struct RelayDrop {
  std::string_view cause;  // netplug/carrier/counters.h: no_route, no_peer, backlog, ...
  uint64_t frames = 0;
};

struct RelayPeerStatus {
  Rank rank = 0;
  uint64_t sessions = 0;  // made so far; 0: was never reached
  uint64_t sent_frames = 0;
  uint64_t sent_bytes = 0;
  uint64_t received_frames = 0;
  uint64_t received_bytes = 0;
  uint64_t dropped = 0;  // to this peer
};

struct RelayStatus {
  std::vector<RelayPeerStatus> peers;  // those with a session so far, or with a loss
  std::vector<RelayDrop> drops;        // every cause, also those of 0

  [[nodiscard]] uint64_t dropped(std::string_view cause) const;
};

class Relay {
 public:
  // Peers come later, by set_peer(), in any order and at any time.
  [[nodiscard]] static Result<std::unique_ptr<Relay>> start(RelayOptions options);
  ~Relay();  // stop()

  // What the peers need to know; bound to options.listen.
  [[nodiscard]] uint16_t port() const;
  // A new peer, or a known one at a new place. A peer that restarts at its old place is found again
  // without a call. The node of the higher rank dials, so every node needs the endpoints of those
  // below it (UDP: all).
  [[nodiscard]] Result<void> set_peer(const RelayPeer& peer);
  // Its sessions end; until it dials again, or is set again.
  void remove_peer(Rank rank);

  // Any thread; the numbers need not fit each other to the frame.
  [[nodiscard]] RelayStatus status() const;

  // Ends all threads and closes all sockets. Idempotent.
  void stop();

 private:
  struct Core;
  explicit Relay(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace conode
