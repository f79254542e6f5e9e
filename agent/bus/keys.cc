// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/keys.h"

#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace conode::bus {
namespace {

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}
uint8_t* bytes_of(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }

CurveKeys pair_from(const Key& secret_key) {
  // Picks the implementation that suits the processor; without it X25519 takes twice the time.
  if (::sodium_init() < 0) std::abort();  // no /dev/urandom
  CurveKeys pair{.public_key = {}, .secret_key = secret_key};
  ::crypto_scalarmult_base(pair.public_key.data(), pair.secret_key.data());
  return pair;
}

}  // namespace

Secret Secret::random() {
  Secret secret;
  ::randombytes_buf(secret.bytes_.data(), kSize);
  return secret;
}

Result<Secret> Secret::from_bytes(std::string_view bytes) {
  if (bytes.size() != kSize)
    return failure(fmt::format("the job's secret has {} bytes, not {}", bytes.size(), kSize));
  Secret secret;
  std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
  return secret;
}

Result<Secret> Secret::read(int fd) {
  Secret secret;
  size_t have = 0;
  while (have < kSize) {
    const ssize_t got = ::read(fd, secret.bytes_.data() + have, kSize - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_failure(fmt::format("read the job's secret from descriptor {}", fd));
    if (got == 0)
      return failure(fmt::format("the job's secret ends after {} of {} bytes", have, kSize));
    have += static_cast<size_t>(got);
  }
  return secret;
}

Secret::~Secret() { ::sodium_memzero(bytes_.data(), kSize); }

Key Secret::derive(std::string_view label) const {
  Key key;
  ::crypto_generichash(key.data(), key.size(), bytes_of(label), label.size(), bytes_.data(),
                       bytes_.size());
  return key;
}

CurveKeys server_keys(const Secret& secret) {
  return pair_from(secret.derive("conode bus server"));
}

CurveKeys client_keys(const Secret& secret, Rank rank) {
  return pair_from(secret.derive(fmt::format("conode bus client {}", rank)));
}

std::string seal(const Key& key, std::string_view plain) {
  std::string sealed(crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + plain.size(), '\0');
  uint8_t* const nonce = bytes_of(sealed);
  ::randombytes_buf(nonce, crypto_secretbox_NONCEBYTES);
  ::crypto_secretbox_easy(nonce + crypto_secretbox_NONCEBYTES, bytes_of(plain), plain.size(), nonce,
                          key.data());
  return sealed;
}

std::optional<std::string> unseal(const Key& key, std::string_view sealed) {
  constexpr size_t kOverhead = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
  if (sealed.size() < kOverhead) return std::nullopt;
  std::string plain(sealed.size() - kOverhead, '\0');
  const uint8_t* const nonce = bytes_of(sealed);
  if (::crypto_secretbox_open_easy(bytes_of(plain), nonce + crypto_secretbox_NONCEBYTES,
                                   sealed.size() - crypto_secretbox_NONCEBYTES, nonce,
                                   key.data()) != 0)
    return std::nullopt;
  return plain;
}

uint64_t random_number() {
  uint64_t number = 0;
  while (number == 0) ::randombytes_buf(&number, sizeof number);
  return number;
}

CurveKeys Keyring::client(Rank rank) {
  const std::lock_guard lock(mutex_);
  return derive(rank);
}

std::optional<Rank> Keyring::owner(const Key& public_key) {
  const std::lock_guard lock(mutex_);
  auto found = owners_.find(public_key);
  for (Rank rank = 0; found == owners_.end() && owners_.size() < size_ && rank < size_; ++rank)
    if (derive(rank).public_key == public_key) found = owners_.find(public_key);
  if (found == owners_.end()) return std::nullopt;
  return found->second;
}

const CurveKeys& Keyring::derive(Rank rank) {
  const auto [entry, is_new] = pairs_.try_emplace(rank);
  if (is_new) {
    entry->second = client_keys(secret_, rank);
    owners_.emplace(entry->second.public_key, rank);
  }
  return entry->second;
}

}  // namespace conode::bus
