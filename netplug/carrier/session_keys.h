// SPDX-License-Identifier: Apache-2.0
// Keys of one session between two nodes, and what is done with them. OpenSSL and libsodium are
// included by this pair of files only. Values; one thread at a time each.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "agent/base/result.h"

struct evp_cipher_ctx_st;

namespace conode::carrier {

using Bytes = std::span<const uint8_t>;
using Nonce = std::array<uint8_t, 16>;
using Mac = std::array<uint8_t, 32>;
using Key = std::array<uint8_t, 32>;

inline constexpr size_t kTagSize = 8;    // of SipHash
inline constexpr size_t kSealSize = 16;  // of AES-GCM

// What protects the frames of a session; both ends must say the same.
enum class Protection : uint8_t { none = 0, aes_gcm = 1 };

// One direction of a session.
struct DirectionKeys {
  std::array<uint8_t, 16> tag{};  // SipHash-2-4
  Key seal{};                     // AES-256-GCM
};

struct SessionKeys {
  uint32_t id = 0;  // not secret: tells a session from the one before it
  DirectionKeys send;
  DirectionKeys receive;
};

// HKDF-SHA-256 (RFC 5869): `secret` is the input, `salt` may be empty, `info` names the purpose.
[[nodiscard]] Result<void> derive(Bytes secret, Bytes salt, std::string_view info,
                                  std::span<uint8_t> out);

// HMAC-SHA-256 (RFC 2104).
[[nodiscard]] Result<Mac> authenticate(const Key& key, Bytes message);
// In constant time.
[[nodiscard]] bool equal(Bytes a, Bytes b);

// From the kernel's generator.
[[nodiscard]] Nonce random_nonce();

// SipHash-2-4 (Aumasson, Bernstein 2012) of `message`: a keyed 64-bit tag, about 1 ns a byte.
[[nodiscard]] uint64_t tag(const DirectionKeys& keys, Bytes message);

// AES-256-GCM (NIST SP 800-38D) with the sequence number as nonce: a number is never used twice in
// a direction of a session, and every session has new keys.
class Sealer {
 public:
  [[nodiscard]] static Result<Sealer> create(const Key& key, bool encrypt);
  Sealer(Sealer&&) noexcept;
  Sealer& operator=(Sealer&&) noexcept;
  ~Sealer();

  // Encrypts in place and writes kSealSize bytes after the text.
  [[nodiscard]] bool seal(uint64_t sequence, Bytes associated, std::span<uint8_t> text);
  // Decrypts in place; `text` excludes the kSealSize bytes that follow it. False: forged.
  [[nodiscard]] bool open(uint64_t sequence, Bytes associated, std::span<uint8_t> text);

 private:
  struct Free {
    void operator()(evp_cipher_ctx_st* context) const;
  };
  explicit Sealer(evp_cipher_ctx_st* context) : context_(context) {}
  std::unique_ptr<evp_cipher_ctx_st, Free> context_;
};

}  // namespace conode::carrier
