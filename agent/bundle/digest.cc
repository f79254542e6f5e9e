// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <vector>

namespace conode {

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  // Both fail only for want of memory: SHA-256 is in every provider, FIPS included.
  if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) std::abort();
}

void Sha256::update(std::string_view data) {
  (void)EVP_DigestUpdate(context_.get(), data.data(), data.size());
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  (void)EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
  std::string text;
  text.reserve(size_t{2} * size);
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest.at(i));
  return text;
}

std::string sha256(std::string_view data) {
  Sha256 digest;
  digest.update(data);
  return digest.hex();
}

Result<std::string> sha256_of_fd(int fd, std::string_view name) {
  Sha256 digest;
  std::vector<char> buffer(1U << 18U);
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_failure(fmt::format("read '{}'", name));
    if (n == 0) return digest.hex();
    digest.update({buffer.data(), static_cast<size_t>(n)});
  }
}

}  // namespace conode
