// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/handshake.h"

#include <fmt/format.h>

#include <algorithm>

#include "netplug/carrier/wire.h"

namespace conode::carrier {
namespace {

constexpr uint8_t kVersion = 1;

// Offsets of a handshake message.
enum : size_t {
  kMagic = 0,
  kVersionAt = 4,
  kStep = 5,
  kLane = 6,
  kLanes = 7,
  kFrom = 8,
  kTo = 12,
  kProtection = 16,
  kCarrier = 17,
  kDialer = 20,
  kListener = 36,
  kMac = 52,
};
static_assert(kMac + sizeof(Mac) == kHandshakeSize);

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Result<DirectionKeys> direction(const Key& sessions, Bytes salt, const std::string& info) {
  std::array<uint8_t, sizeof(DirectionKeys)> raw{};
  TRY(derive(sessions, salt, info, raw));
  DirectionKeys keys;
  std::copy_n(raw.begin(), keys.tag.size(), keys.tag.begin());
  std::copy_n(raw.begin() + keys.tag.size(), keys.seal.size(), keys.seal.begin());
  return keys;
}

}  // namespace

Result<Handshake> Handshake::create(const std::string& secret, Rank own, Protection protection,
                                    uint8_t carrier) {
  if (secret.size() < kMinSecret)
    return failure(fmt::format("the job's secret has {} bytes, at least {} are needed",
                               secret.size(), kMinSecret));
  Handshake made;
  made.own_ = own;
  made.protection_ = protection;
  made.carrier_ = carrier;
  TRY(derive(bytes_of(secret), {}, "conode relay 1 handshake", made.authentication_));
  TRY(derive(bytes_of(secret), {}, "conode relay 1 sessions", made.sessions_));
  return made;
}

Result<std::array<uint8_t, kHandshakeSize>> Handshake::encode(
    const HandshakeMessage& message) const {
  std::array<uint8_t, kHandshakeSize> out{};
  store(out, kMagic, kHandshakeMagic);
  out[kVersionAt] = kVersion;
  out[kStep] = static_cast<uint8_t>(message.step);
  out[kLane] = message.lane;
  out[kLanes] = message.lanes;
  store(out, kFrom, message.from);
  store(out, kTo, message.to);
  out[kProtection] = static_cast<uint8_t>(protection_);
  out[kCarrier] = carrier_;
  store(out, kDialer, message.dialer);
  store(out, kListener, message.listener);
  store(out, kMac, TRY(authenticate(authentication_, Bytes(out).first(kMac))));
  return out;
}

std::optional<HandshakeMessage> Handshake::decode(Bytes bytes) const {
  if (bytes.size() != kHandshakeSize || load<uint32_t>(bytes, kMagic) != kHandshakeMagic ||
      bytes[kVersionAt] != kVersion || bytes[kProtection] != static_cast<uint8_t>(protection_) ||
      bytes[kCarrier] != carrier_ || load<uint32_t>(bytes, kTo) != own_)
    return std::nullopt;
  const Result<Mac> mac = authenticate(authentication_, bytes.first(kMac));
  if (!mac || !equal(*mac, bytes.subspan(kMac))) return std::nullopt;
  const uint8_t step = bytes[kStep];
  if (step < static_cast<uint8_t>(Step::knock) || step > static_cast<uint8_t>(Step::confirm) ||
      bytes[kLanes] == 0 || bytes[kLane] >= bytes[kLanes])
    return std::nullopt;
  return HandshakeMessage{.step = static_cast<Step>(step),
                          .lane = bytes[kLane],
                          .lanes = bytes[kLanes],
                          .from = load<uint32_t>(bytes, kFrom),
                          .to = own_,
                          .dialer = load<Nonce>(bytes, kDialer),
                          .listener = load<Nonce>(bytes, kListener)};
}

Result<SessionKeys> Handshake::session(const HandshakeMessage& message, bool dialer) const {
  const Rank peer = message.from == own_ ? message.to : message.from;
  std::array<uint8_t, 2 * sizeof(Nonce)> salt{};
  store(salt, 0, message.dialer);
  store(salt, sizeof(Nonce), message.listener);
  const std::string pair = fmt::format("carrier {} protection {} lane {} dialer {} listener {}",
                                       carrier_, static_cast<int>(protection_), message.lane,
                                       dialer ? own_ : peer, dialer ? peer : own_);
  const DirectionKeys forward = TRY(direction(sessions_, salt, pair + " forward"));
  const DirectionKeys backward = TRY(direction(sessions_, salt, pair + " backward"));
  std::array<uint8_t, 4> id{};
  TRY(derive(sessions_, salt, pair + " id", id));
  return SessionKeys{.id = load<uint32_t>(id, 0),
                     .send = dialer ? forward : backward,
                     .receive = dialer ? backward : forward};
}

}  // namespace conode::carrier
