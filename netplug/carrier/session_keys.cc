// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/session_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <sodium.h>

#include <cstring>

namespace conode::carrier {
namespace {

constexpr size_t kGcmNonce = 12;

std::array<uint8_t, kGcmNonce> gcm_nonce(uint64_t sequence) {
  std::array<uint8_t, kGcmNonce> nonce{};
  for (size_t i = 0; i < sizeof sequence; ++i)
    nonce[kGcmNonce - 1 - i] = static_cast<uint8_t>(sequence >> (8 * i));
  return nonce;
}

struct FreePkey {
  void operator()(EVP_PKEY_CTX* context) const { ::EVP_PKEY_CTX_free(context); }
};

int length_of(Bytes bytes) { return static_cast<int>(bytes.size()); }

}  // namespace

Result<void> derive(Bytes secret, Bytes salt, std::string_view info, std::span<uint8_t> out) {
  const std::unique_ptr<EVP_PKEY_CTX, FreePkey> context(
      ::EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr));
  const auto* purpose = reinterpret_cast<const unsigned char*>(info.data());
  size_t size = out.size();
  if (!context || ::EVP_PKEY_derive_init(context.get()) <= 0 ||
      ::EVP_PKEY_CTX_set_hkdf_md(context.get(), ::EVP_sha256()) <= 0 ||
      ::EVP_PKEY_CTX_set1_hkdf_key(context.get(), secret.data(), length_of(secret)) <= 0 ||
      (!salt.empty() &&
       ::EVP_PKEY_CTX_set1_hkdf_salt(context.get(), salt.data(), length_of(salt)) <= 0) ||
      ::EVP_PKEY_CTX_add1_hkdf_info(context.get(), purpose, static_cast<int>(info.size())) <= 0 ||
      ::EVP_PKEY_derive(context.get(), out.data(), &size) <= 0 || size != out.size())
    return failure("derive a session key: OpenSSL refused HKDF-SHA-256");
  return {};
}

Result<Mac> authenticate(const Key& key, Bytes message) {
  Mac mac{};
  unsigned size = 0;
  if (::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), message.data(),
             message.size(), mac.data(), &size) == nullptr ||
      size != mac.size())
    return failure("authenticate a message: OpenSSL refused HMAC-SHA-256");
  return mac;
}

bool equal(Bytes a, Bytes b) {
  return a.size() == b.size() && ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Nonce random_nonce() {
  Nonce nonce;
  ::randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

uint64_t tag(const DirectionKeys& keys, Bytes message) {
  static_assert(crypto_shorthash_KEYBYTES == sizeof keys.tag);
  static_assert(crypto_shorthash_BYTES == kTagSize);
  uint64_t made = 0;
  ::crypto_shorthash(reinterpret_cast<unsigned char*>(&made), message.data(), message.size(),
                     keys.tag.data());
  return made;
}

void Sealer::Free::operator()(evp_cipher_ctx_st* context) const { ::EVP_CIPHER_CTX_free(context); }

Sealer::Sealer(Sealer&&) noexcept = default;
Sealer& Sealer::operator=(Sealer&&) noexcept = default;
Sealer::~Sealer() = default;

Result<Sealer> Sealer::create(const Key& key, bool encrypt) {
  Sealer made(::EVP_CIPHER_CTX_new());
  if (!made.context_ || ::EVP_CipherInit_ex(made.context_.get(), ::EVP_aes_256_gcm(), nullptr,
                                            key.data(), nullptr, encrypt ? 1 : 0) != 1)
    return failure("set up encryption: OpenSSL refused AES-256-GCM");
  return made;
}

bool Sealer::seal(uint64_t sequence, Bytes associated, std::span<uint8_t> text) {
  EVP_CIPHER_CTX* const context = context_.get();
  int size = 0;
  uint8_t* const end = text.data() + text.size();
  return ::EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, gcm_nonce(sequence).data(), -1) ==
             1 &&
         ::EVP_CipherUpdate(context, nullptr, &size, associated.data(), length_of(associated)) ==
             1 &&
         ::EVP_CipherUpdate(context, text.data(), &size, text.data(), length_of(text)) == 1 &&
         ::EVP_CipherFinal_ex(context, end, &size) == 1 &&
         ::EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kSealSize, end) == 1;
}

bool Sealer::open(uint64_t sequence, Bytes associated, std::span<uint8_t> text) {
  EVP_CIPHER_CTX* const context = context_.get();
  int size = 0;
  uint8_t* const end = text.data() + text.size();
  return ::EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, gcm_nonce(sequence).data(), -1) ==
             1 &&
         ::EVP_CipherUpdate(context, nullptr, &size, associated.data(), length_of(associated)) ==
             1 &&
         ::EVP_CipherUpdate(context, text.data(), &size, text.data(), length_of(text)) == 1 &&
         ::EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kSealSize, end) == 1 &&
         ::EVP_CipherFinal_ex(context, end, &size) == 1;
}

}  // namespace conode::carrier
