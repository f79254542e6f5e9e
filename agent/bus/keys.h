// SPDX-License-Identifier: Apache-2.0
// The job's secret and what is derived from it: CurveZMQ key pairs (RFC 26/CurveZMQ) and the key of
// the rendezvous. Derivation is keyed BLAKE2b (RFC 7693) over a label. Who knows the secret knows
// the servers' public key, without which libzmq's servers answer nothing. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/bus/tree.h"

namespace conode::bus {

using Key = std::array<uint8_t, 32>;

// 32 random bytes; wiped when it goes.
class Secret {
 public:
  static constexpr size_t kSize = 32;

  [[nodiscard]] static Secret random();
  // Exactly kSize bytes.
  [[nodiscard]] static Result<Secret> from_bytes(std::string_view bytes);
  // The next kSize bytes of a pipe or file.
  [[nodiscard]] static Result<Secret> read(int fd);

  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret();

  [[nodiscard]] std::string_view bytes() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  // BLAKE2b-256 of `label` under the secret.
  [[nodiscard]] Key derive(std::string_view label) const;

 private:
  Secret() = default;
  Key bytes_{};
};

struct CurveKeys {
  Key public_key;
  Key secret_key;
};

[[nodiscard]] CurveKeys server_keys(const Secret& secret);
[[nodiscard]] CurveKeys client_keys(const Secret& secret, Rank rank);

// XSalsa20-Poly1305 with a random nonce in front (libsodium's secretbox).
[[nodiscard]] std::string seal(const Key& key, std::string_view plain);
[[nodiscard]] std::optional<std::string> unseal(const Key& key, std::string_view sealed);

[[nodiscard]] uint64_t random_number();

// Key pairs by rank, each derived once (0.05 ms), and ranks by public key.
class Keyring {
 public:
  Keyring(const Secret& secret, uint32_t size) : secret_(secret), size_(size) {}

  [[nodiscard]] CurveKeys client(Rank rank);
  // Whose key this is. Ranks that were asked for before are found at once; a stranger's key costs
  // the derivation of all that is left, once.
  [[nodiscard]] std::optional<Rank> owner(const Key& public_key);

 private:
  const CurveKeys& derive(Rank rank);

  const Secret secret_;
  const uint32_t size_;
  std::mutex mutex_;  // guards what follows
  std::map<Rank, CurveKeys> pairs_;
  std::map<Key, Rank> owners_;
};

}  // namespace conode::bus
