// SPDX-License-Identifier: Apache-2.0
// How two nodes of a job make a session: three messages, each with an HMAC under a key that only
// the job's nodes can derive.
//
//   dialer   hello(nonce d)             listener
//            <- answer(nonce d, nonce l)            proves: knows the secret now (nonce d is fresh)
//            confirm(nonce d, nonce l) ->           proves: knows the secret now (nonce l is fresh)
//
// Both derive the session's keys from the secret and both nonces, so a replayed handshake gives its
// sender nothing: he lacks the keys of the fresh nonce. The node of the higher rank dials.
//
// Threat model. The adversary is a host that is not of the job and not on the path: it may send
// anything, from any address, as often as it likes. It can neither make nor replay a handshake, nor
// a frame: each header carries a 64-bit SipHash under a key of the session and the direction over
// the header, the sequence number and (TCP) the frame's first bytes. The rest of a frame is not
// covered: who can read the fabric can read frames, and who can alter packets in flight, or guess
// the live sequence number of a TCP connection, can alter payload. On a fabric that is not trusted
// choose Protection::aes_gcm, which seals every byte of every frame. The nodes of a job trust each
// other: whoever has the secret may claim any rank.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "netplug/carrier/address_plan.h"
#include "netplug/carrier/session_keys.h"

namespace conode::carrier {

inline constexpr size_t kHandshakeSize = 84;
inline constexpr uint32_t kHandshakeMagic = 0x4c52'4e43;  // "CNRL"
inline constexpr size_t kMinSecret = 16;                  // bytes

enum class Step : uint8_t {
  knock = 1,  // "dial me": from a listener that has lost its sessions (UDP)
  hello,
  answer,
  confirm,
};

struct HandshakeMessage {
  Step step = Step::knock;
  uint8_t lane = 0;   // which of the sessions between the two nodes
  uint8_t lanes = 1;  // how many the dialer makes
  Rank from = 0;
  Rank to = 0;
  Nonce dialer{};
  Nonce listener{};
};

// Immutable after create(): any thread.
class Handshake {
 public:
  // `carrier` keeps the sessions of different carriers apart.
  [[nodiscard]] static Result<Handshake> create(const std::string& secret, Rank own,
                                                Protection protection, uint8_t carrier);

  [[nodiscard]] Result<std::array<uint8_t, kHandshakeSize>> encode(
      const HandshakeMessage& message) const;
  // Empty for what is not from a node of the job, for this node, about the same carrier and
  // protection. Never trusts its input.
  [[nodiscard]] std::optional<HandshakeMessage> decode(Bytes bytes) const;

  // `message` is the answer or the confirmation that completes the handshake.
  [[nodiscard]] Result<SessionKeys> session(const HandshakeMessage& message, bool dialer) const;

  [[nodiscard]] Protection protection() const { return protection_; }

 private:
  Handshake() = default;
  Rank own_ = 0;
  Protection protection_ = Protection::none;
  uint8_t carrier_ = 0;
  Key authentication_{};
  Key sessions_{};
};

}  // namespace conode::carrier
